"""The one error of the comment."""


class PreviewsError(Exception):
    """No comment can be written at all; the text says why, and what to do.

    The command prints it without a traceback and exits with 2. A preview that failed is content of the comment.
    """

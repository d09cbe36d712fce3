"""The one error of the probe."""


class ProbeError(Exception):
    """The probe cannot be made at all; the text says what is wrong, where, and what to do.

    Commands print it without a traceback and exit with 2. A trace that is missing is a result, not an error.
    """

"""The one error of the tools."""


class ToolError(Exception):
    """A command cannot do its work; the text says what is wrong, where, and how to fix it.

    Commands print it without a traceback. Defects of the tools are never reported with it; neither are results, such
    as a trace that is missing or a preview that failed.
    """

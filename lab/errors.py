"""The one error of the lab."""


class LabError(Exception):
    """Something that the person at the keyboard can mend; its text says what and how.

    Commands print it without a traceback and exit with 1. Defects of the lab are never reported with it.
    """

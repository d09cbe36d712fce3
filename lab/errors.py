"""Defines the one error of the lab."""


class LabError(Exception):
    """An error that the person at the keyboard can fix; its text says what is wrong and how to fix it.

    Commands print it without a traceback and exit with 1. Defects of the lab raise other exceptions.
    """

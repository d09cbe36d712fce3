"""The one reader of the clock."""

import datetime


def today() -> datetime.date:
    """Returns today's date in UTC: what is maintained, and which license has expired, depends on it."""
    return datetime.datetime.now(datetime.UTC).date()

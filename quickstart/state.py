"""What `make up` keeps in the checkout, out of git: backend, passphrase, the choice of the cluster."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
STATE = REPOSITORY / ".state"


class QuickstartError(Exception):
    """Something that the person at the keyboard can mend; printed without a traceback, exit code 1."""

"""What `make up` keeps in the checkout, out of git: backend, passphrase, the choice of the cluster."""

from tools.paths import REPOSITORY

STATE = REPOSITORY / ".state"


class QuickstartError(Exception):
    """Something that the person at the keyboard can mend; printed without a traceback, exit code 1."""

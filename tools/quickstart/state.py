"""The files that `make up` keeps in the checkout, out of git: backend, passphrase, the choice of the cluster."""

from tools.paths import REPOSITORY

STATE = REPOSITORY / ".state"

"""The base of the groups whose defaults depend on the stack's `versions`."""

from pydantic import PrivateAttr

from settings.types import Model
from settings.versions import SETS, VersionSet
from settings.versions.sets import DEFAULT, Set


class Versioned(Model):
    """A group whose images are those of the stack's set of versions, unless it names one itself."""

    _versions: VersionSet = PrivateAttr(default=DEFAULT)

    @property
    def version_set(self) -> Set:
        """The stack's set of versions."""
        return SETS[self._versions]

    def follow(self, versions: VersionSet) -> None:
        """Takes the defaults of a set. `Settings` calls it once, with its own `versions`."""
        self._versions = versions

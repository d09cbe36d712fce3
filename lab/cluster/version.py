"""Chooses the version of Kubernetes that the lab runs, and keeps it until `lab down`."""

import os

from lab.build.target import Target
from lab.build.targets import KUBERNETES_VERSIONS
from lab.errors import LabError
from lab.paths import STATE

VARIABLE = "LAB_KUBERNETES"
_DEFAULT = next(iter(KUBERNETES_VERSIONS))
_FILE = STATE / "kubernetes-version"


def kubernetes() -> Target:
    """Returns the target of the lab's Kubernetes: the version that a lab has, else the one that `LAB_KUBERNETES` names.

    Raises:
        LabError: `LAB_KUBERNETES` names a version that the lab cannot build, or another one than the lab has.
    """
    asked = os.environ.get(VARIABLE) or None
    if asked not in {None, *KUBERNETES_VERSIONS}:
        raise LabError(
            f"{VARIABLE} is {asked}, which the lab cannot build. It takes {' and '.join(KUBERNETES_VERSIONS)}: "
            f"`{VARIABLE}={_newest()} make lab-up`."
        )
    kept = _kept()
    if kept and asked not in {None, kept}:
        # Neither etcd's data nor the API's objects have a way back to an earlier version.
        raise LabError(
            f"The lab has Kubernetes {kept}, and {VARIABLE} names {asked}: `make down lab-down` removes that lab, then "
            f"`{VARIABLE}={asked} make lab-up` starts the other."
        )
    return KUBERNETES_VERSIONS[kept or asked or _DEFAULT]


def keep() -> None:
    """Notes the version of a lab that is about to start, for later commands and for the start of a killed lab."""
    target = kubernetes()
    STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    _FILE.write_text(next(version for version, each in KUBERNETES_VERSIONS.items() if each == target))


def _kept() -> str | None:
    """Returns the version of the lab whose state is on this machine, running or killed."""
    if _FILE.exists():
        return _FILE.read_text()
    # A lab that an earlier version of this module started.
    return _DEFAULT if STATE.exists() else None


def _newest() -> str:
    return list(KUBERNETES_VERSIONS)[-1]

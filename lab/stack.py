"""Chooses the set of versions that stacks on the lab run, and provides its images to the running lab."""

import os

from lab.build import images
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.progress import Progress

VARIABLE = "LAB_VERSIONS"
STACK_FILES = {"current": "lab/Pulumi.lab.yaml", "tutorial": "lab/Pulumi.lab-tutorial.yaml"}
"""By set of versions: the configuration that names its images, as a path in this repository."""


def chosen_versions() -> str:
    """Returns the set of versions that `LAB_VERSIONS` names, else the current one.

    Raises:
        LabError: there is no such set.
    """
    asked = os.environ.get(VARIABLE) or "current"
    if asked not in STACK_FILES:
        raise LabError(f"{VARIABLE} is {asked}; it takes {' and '.join(STACK_FILES)}.")
    return asked


def stack_file() -> str:
    """Returns the stack configuration of the chosen set, as a path in this repository."""
    return STACK_FILES[chosen_versions()]


def stack_configuration() -> str:
    """Returns the text of the stack configuration of the chosen set."""
    return (REPOSITORY / stack_file()).read_text()


def provide_images(progress: Progress, versions: str) -> None:
    """Pushes the images of a set of versions into the running lab's registry, and pulls them onto its node."""
    wanted = images.oss_stack_images(versions)
    images.push(wanted, progress)
    lifecycle.pull(wanted, progress)

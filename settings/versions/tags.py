"""Reads versions from the names and tags of images.

If there is a digest beside the tag, nodes pull the digest, and the tag is assumed to describe it.
"""

import re
from collections.abc import Collection

from settings.types import IMAGE_REFERENCE
from settings.versions.support import Version

_PSEUDO_VERSION = re.compile(r"v?\d+\.\d+\.\d+.*-0\.(\d{8})\d{6}-[0-9a-f]{12}")
"""Go's pseudo-version: the name of a commit between versions, with its date, whatever its first numbers are."""


FIRST_WITH_MINOR = 37
"""The first release of NGINX Plus with two numbers: `R37.0`, F5's "Installing NGINX Plus LTS". The tags of earlier ones
begin with an R: `24.10` is something else's version."""


def version_of(image: str, names: Collection[str]) -> Version | None:
    """Returns the version in an image's tag, of two or three numbers.

    Args:
        image: the reference of an image.
        names: last parts of the names of the program's images. An image of another registry with such a name is taken
            for a copy.

    Returns:
        The version; None for an image of another name, without a tag, or with another tag.
    """
    tag = _tag(image, names)
    if tag is None or _PSEUDO_VERSION.fullmatch(tag):
        return None
    version = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?!\d)", tag)
    return tuple(int(number) for number in version.groups() if number is not None) if version else None


def full_version_of(image: str) -> Version | None:
    """Returns the three numbers that the tag of an image of any name begins with; None if it does not.

    The caller decides whether they are the program's or the image's own.
    """
    matched = IMAGE_REFERENCE.fullmatch(image)
    tag = (matched["tag"] if matched else None) or ""
    numbers = None if _PSEUDO_VERSION.fullmatch(tag) else re.match(r"v?(\d+)\.(\d+)\.(\d+)(?!\d)", tag)
    return tuple(map(int, numbers.groups())) if numbers else None


def commit_day(image: str, names: Collection[str]) -> str | None:
    """Returns the day (YYYYMMDD) of the commit that an image's tag names as Go's pseudo-version; None for another."""
    commit = _PSEUDO_VERSION.fullmatch(_tag(image, names) or "")
    return commit[1] if commit else None


def release_of(image: str) -> int | None:
    """Returns the release of NGINX Plus in an image's tag, `R34`, `r34-…` or `37.0.4`; None if there is none."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    release = re.match(r"([Rr]?)(\d{2})(?!\d)(\.?)", (matched["tag"] if matched else None) or "")
    if release is None:
        return None
    number, is_dotted = int(release[2]), bool(release[3])
    return number if release[1] or (is_dotted and number >= FIRST_WITH_MINOR) else None


def build_of(image: str) -> Version | None:
    """Returns the four numbers of a build of NGINX Plus in an image's tag, such as 37.0.4.1; None if it has none."""
    matched = IMAGE_REFERENCE.fullmatch(image)
    build = re.match(r"[Rr]?(\d{2})\.(\d+)\.(\d+)\.(\d+)(?!\d)", (matched["tag"] if matched else None) or "")
    return tuple(map(int, build.groups())) if build else None


def _tag(image: str, names: Collection[str]) -> str | None:
    matched = IMAGE_REFERENCE.fullmatch(image)
    return matched["tag"] if matched and matched["name"].split("/")[-1] in names else None

"""Holds what NGINX Plus is, by release."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from settings.versions.nginx import BARE_MODULE, FLAWS, WHOLE_MODULE, Module
from settings.versions.support import Flaw, Support, Version

_PAGE = "docs.nginx.com/nginx/releases"


@dataclass(frozen=True)
class PlusRelease:
    """The features of a release of NGINX Plus."""

    nginx: Version | None
    """The version of open-source NGINX that it is based on; None if this program does not know the release."""

    module: Module
    report_proxy: bool
    """`proxy` in `mgmt`."""

    support: Support
    """Until when it gets security updates."""

    flaws: tuple[Flaw, ...] = ()
    """Flaws by which a request may execute code, which no update of the release fixes."""

    is_numbered: bool = False
    """Whether its packages are in a folder of three numbers' scheme, `R37.0`, instead of `R36`."""


# From F5's "NGINX Plus Releases". R36 and R37 get fixes (R36 P4 to P8, PLS.37.0.0.1 to 37.0.4.1) under the same name.
TABLE: Mapping[int, PlusRelease] = {
    33: PlusRelease(
        (1, 27, 2), BARE_MODULE, report_proxy=False, support=Support(date(2025, 8, 13), _PAGE), flaws=FLAWS
    ),
    34: PlusRelease(
        (1, 27, 4), WHOLE_MODULE, report_proxy=True, support=Support(date(2025, 12, 1), _PAGE), flaws=FLAWS
    ),
    35: PlusRelease(
        (1, 29, 0), WHOLE_MODULE, report_proxy=True, support=Support(date(2026, 5, 13), _PAGE), flaws=FLAWS
    ),
    36: PlusRelease((1, 29, 3), WHOLE_MODULE, report_proxy=True, support=Support(None, _PAGE)),
    37: PlusRelease(
        (1, 29, 8), WHOLE_MODULE, report_proxy=True, support=Support(date(2029, 5, 13), _PAGE), is_numbered=True
    ),
}
FIRST, LAST = min(TABLE), max(TABLE)
"""The first release that takes a license token, and the last whose packages and module this program knows."""

FIRST_WITH_ALL = min(number for number, release in TABLE.items() if release.module == WHOLE_MODULE)
"""The first release whose module has every feature."""

_LATER = PlusRelease(None, WHOLE_MODULE, report_proxy=True, support=Support(None, _PAGE), is_numbered=True)


def plus_release(release: str) -> PlusRelease:
    """Returns a release, such as `R34`, by its name. A later one than this program knows has every feature."""
    return TABLE.get(int(release.removeprefix("R")), _LATER)

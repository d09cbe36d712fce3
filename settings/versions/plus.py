"""Holds what NGINX Plus is, by release."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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


# From F5's "NGINX Plus Releases" and the records of the CVEs. The folder of a release, such as R37.0, gets its fixes
# (`_FIXED_BUILD` has those of HTTP/2), so a new build has them: `plus.rebuild`.
_IN_HTTP_2 = tuple(flaw for flaw in FLAWS if flaw.cve == "CVE-2026-123007")
_FIXED_BUILD: Version = (37, 0, 8, 1)

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
    # Its security updates ended with the release of R37.1, at the latest on the day of CVE-2026-93479, which it kept.
    36: PlusRelease(
        (1, 29, 3), WHOLE_MODULE, report_proxy=True, support=Support(date(2026, 10, 14), _PAGE), flaws=_IN_HTTP_2
    ),
    37: PlusRelease((1, 29, 8), WHOLE_MODULE, report_proxy=True, support=Support(date(2029, 5, 13), _PAGE)),
}
FIRST, LAST = min(TABLE), max(TABLE)
"""The first release that takes a license token, and the last whose packages and module this program knows."""

FIRST_WITH_ALL = min(number for number, release in TABLE.items() if release.module == WHOLE_MODULE)
"""The first release whose module has every feature."""

_LATER = PlusRelease(None, WHOLE_MODULE, report_proxy=True, support=Support(None, _PAGE))


def plus_release(release: str) -> PlusRelease:
    """Returns a release by its name, such as `R34` or `R37.0`. A later one than the table has every feature."""
    number, _, minor = release.removeprefix("R").partition(".")
    found = TABLE.get(int(number), _LATER)
    # R37.1 and so on are continuous releases, each of which ends with the next one, on a day that is not announced.
    return replace(found, support=Support(None, _PAGE)) if minor not in {"", "0"} else found


def flaws_of_build(build: Version | None) -> tuple[Flaw, ...]:
    """Returns the flaws of a build that a later build of its release fixes; none of a build that is not known."""
    return _IN_HTTP_2 if build and _FIXED_BUILD[:2] == build[:2] and build < _FIXED_BUILD else ()

"""Checks the lines of tables: `map`, `geo` and `split_clients`."""

import re

from settings.nginx_tree import Directive
from settings.snippets.values import is_network
from settings.types import is_address

_OF_ONE_WORD = {"map": {"hostnames", "volatile"}, "geo": {"ranges", "proxy_recursive"}}


def map_lines(table: Directive) -> str | None:
    """Returns the first error in the lines of a `map`; none if there is none."""
    names = [line.name for line in table.inside]
    # NGINX hashes names, without regard to case, and tries patterns one by one.
    seen = set[str]()
    for line in table.inside:
        key = line.name.lower()
        message = _words(line, "map")
        if message or not line.arguments or line.name == "include":
            if message:
                return message
            continue
        if key in seen:
            return f"has `{line.name}` twice"
        if not key.startswith("~"):
            seen.add(key)
        if "hostnames" in names and not _is_hostname(key):
            return f"has `{line.name}`, which is no host name: `*` may only be its first or last part"
    return None


def _words(line: Directive, table: str) -> str | None:
    if line.body is not None or len(line.arguments) == 1:
        return None
    if not line.arguments and line.name in _OF_ONE_WORD[table]:
        return None
    return f"must have lines of two words, a source and a value, not `{' '.join((line.name, *line.arguments))}`"


def _is_hostname(key: str) -> bool:
    return (
        key in {"default", ""} or key.startswith(("~", "\\")) or re.fullmatch(r"(\*?\.)?[^*]+(\.\*)?", key) is not None
    )


def geo_lines(table: Directive) -> str | None:
    """Returns the first error in the lines of a `geo`; none if there is none."""
    is_ranges = any(line.name == "ranges" for line in table.inside)
    for line in table.inside:
        message = _words(line, "geo")
        if message:
            return message
        if not line.arguments or line.name in {"default", "include"}:
            continue
        written = line.arguments[0] if line.name in {"delete", "proxy"} else line.name
        is_valid = _is_range(written) if is_ranges and line.name != "proxy" else is_network(written)
        if not is_valid:
            return f"must have {'ranges' if is_ranges else 'addresses and networks'}, not `{written}`"
    return None


def _is_range(written: str) -> bool:
    ends = written.split("-")
    return len(ends) == 2 and all(is_address(end) and ":" not in end for end in ends)


def split_lines(table: Directive) -> str | None:
    """Returns the first error in the lines of `split_clients`; none if there is none."""
    hundredths = 0
    for line in table.inside:
        share = re.fullmatch(r"(\d+)(?:\.(\d{1,2}))?%", line.name)
        part = int(share[1]) * 100 + int((share[2] or "").ljust(2, "0")) if share else 0
        if line.name != "*" and part == 0:
            return (
                f"must have percentages with at most two digits after the point, such as 0.25%, or `*`, not "
                f"`{line.name}`"
            )
        hundredths += part
    return "must have no more than 100% in all its lines" if hundredths > 10000 else None

"""What NGINX refuses in the lines of tables: `map`, `geo` and `split_clients`."""

import re

from settings.nginx_tree import Directive
from settings.types import is_address

_ALONE = {"map": {"hostnames", "volatile"}, "geo": {"ranges", "proxy_recursive"}}
"""Lines of one word."""


def map_lines(table: Directive) -> str | None:
    """What is wrong with the lines of a `map`; none where nothing is."""
    names = [line.name for line in table.inside]
    # A hash of names, which NGINX compares without regard to case; patterns are tried one by one.
    seen = set[str]()
    for line in table.inside:
        key = line.name.lower()
        message = _count(line, "map")
        if message or not line.arguments or line.name == "include":
            if message:
                return message
            continue
        if key in seen:
            return f"has `{line.name}` twice"
        if not key.startswith("~"):
            seen.add(key)
        if "hostnames" in names and not _is_hostname(key):
            return f"has `{line.name}`, which is no host name: `*` is its first or last part"
    return None


def _count(line: Directive, table: str) -> str | None:
    if line.body is not None or len(line.arguments) == 1:
        return None
    if not line.arguments and line.name in _ALONE[table]:
        return None
    return f"must have lines of two words, a source and a value: `{' '.join((line.name, *line.arguments))}` is none"


def _is_hostname(key: str) -> bool:
    return (
        key in {"default", ""} or key.startswith(("~", "\\")) or re.fullmatch(r"(\*?\.)?[^*]+(\.\*)?", key) is not None
    )


def geo_lines(table: Directive) -> str | None:
    """What is wrong with the lines of a `geo`; none where nothing is."""
    is_ranges = any(line.name == "ranges" for line in table.inside)
    for line in table.inside:
        message = _count(line, "geo")
        if message:
            return message
        if not line.arguments or line.name in {"default", "include"}:
            continue
        written = line.arguments[0] if line.name in {"delete", "proxy"} else line.name
        is_valid = _is_range(written) if is_ranges and line.name != "proxy" else _is_network(written)
        if not is_valid:
            return f"must have {'ranges' if is_ranges else 'addresses and networks'}, not `{written}`"
    return None


def _is_range(written: str) -> bool:
    ends = written.split("-")
    return len(ends) == 2 and all(is_address(end) and ":" not in end for end in ends)


def _is_network(written: str) -> bool:
    address, slash, bits = written.partition("/")
    if not is_address(address) or (slash and not re.fullmatch(r"\d{1,3}|[\d.]+", bits)):
        return False
    return not bits.isdigit() or int(bits) <= (128 if ":" in address else 32)


def split_lines(table: Directive) -> str | None:
    """What is wrong with the lines of `split_clients`; none where nothing is."""
    hundredths = 0
    for line in table.inside:
        share = re.fullmatch(r"(\d+)(?:\.(\d{1,2}))?%", line.name)
        part = int(share[1]) * 100 + int((share[2] or "").ljust(2, "0")) if share else 0
        if line.name != "*" and part == 0:
            return (
                f"must have percent with two digits after the point at most, such as 0.25%, or `*`, not `{line.name}`"
            )
        hundredths += part
    return "must have no more than 100% in all its lines" if hundredths > 10000 else None

"""Refuses zones in snippets that are missing, made twice or too small."""

import re
from collections.abc import Iterable, Iterator

from settings.errors import RuleViolation
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippets, flat
from settings.snippets.values import PROXIES

_ZONE = re.compile(r"(?:keys_)?zone=([^:]+):(\d+)([kKmM]?)$")
_UNITS = {"": 1, "k": 2**10, "m": 2**20}
_ZONE_MAKERS = frozenset({"limit_req_zone", "limit_conn_zone"} | {f"{each}_cache_path" for each in PROXIES})
_CACHES = frozenset(f"{proxy}_cache" for proxy in PROXIES)

_LEAST_KIBIBYTES = 32
"""NGINX takes zones of eight pages and more (`ngx_http_limit_req_zone`)."""

_LEAST_KIBIBYTES_OF_A_CACHE = 8
"""NGINX takes zones of a cache from two pages on (`ngx_http_file_cache_set_slot`)."""


def made_twice(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses two zones of one name, and zones that are smaller than NGINX takes."""
    if written.has_unknown_files:
        return
    seen = set[str]()
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name not in _ZONE_MAKERS:
                continue
            for found in filter(None, map(_ZONE.match, directive.arguments)):
                if found[1] in seen:
                    yield snippet.violation(Finding(directive, f"repeats the zone `{found[1]}` of another directive"))
                is_cache = directive.name.endswith("_path")
                least = _LEAST_KIBIBYTES_OF_A_CACHE if is_cache else _LEAST_KIBIBYTES
                if int(found[2]) * _UNITS[found[3].lower()] < least * 1024:
                    yield snippet.violation(Finding(directive, f"must have a zone of at least {least}k"))
                seen.add(found[1])


def missing(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses directives whose zone no snippet makes, and two caches in one folder."""
    if written.has_unknown_files:
        return
    everything = list(written.everything)
    folders = set[str]()
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name.endswith("_cache_path"):
                folder = directive.arguments[0]
                if folder in folders:
                    yield snippet.violation(Finding(directive, f"has the folder `{folder}` of another cache"))
                folders.add(folder)
            zone, maker, example = _zone_of(directive)
            if zone is not None and zone not in set(_made(everything, maker)):
                message = f"needs the zone `{zone}`, which {maker} has to make in `nginx.extraConfig.http`: {example}"
                yield snippet.violation(Finding(directive, message))


def _zone_of(directive: Directive) -> tuple[str | None, str, str]:
    """Returns the zone that a directive uses, the directive that makes such zones, and an example of that."""
    name, arguments = directive.name, directive.arguments
    if not arguments:
        return None, "", ""
    if name == "limit_req":
        zone = next((each.removeprefix("zone=") for each in arguments if each.startswith("zone=")), None)
        return zone, "limit_req_zone", f"limit_req_zone $binary_remote_addr zone={zone}:10m rate=10r/s;"
    if name == "limit_conn":
        return arguments[0], "limit_conn_zone", f"limit_conn_zone $binary_remote_addr zone={arguments[0]}:10m;"
    if name in _CACHES and arguments[0] != "off" and "$" not in arguments[0]:
        return arguments[0], f"{name}_path", f"{name}_path /tmp/cache keys_zone={arguments[0]}:10m max_size=100m;"
    return None, "", ""


def _made(everything: Iterable[Directive], maker: str) -> Iterator[str]:
    for directive in everything:
        if directive.name == maker:
            for argument in directive.arguments:
                found = re.match(r"(?:keys_)?zone=([^:]+):", argument)
                if found:
                    yield found[1]

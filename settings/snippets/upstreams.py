"""Refuses `upstream` blocks in snippets that cannot work, and addresses that lack a port."""

import re
from collections.abc import Iterable, Iterator

from settings.errors import RuleViolation
from settings.nginx_tree import Directive
from settings.snippets.model import HTTP, Finding, Snippets, flat
from settings.snippets.ours import UPSTREAM_PREFIX
from settings.versions.support import reaches

_NEED_PORTS = frozenset({"grpc_pass", "fastcgi_pass", "scgi_pass", "uwsgi_pass", "memcached_pass"})

_RESOLVES = (1, 27, 3)
"""The first open source version with `resolve`; NGINX Plus always had it."""


def names(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses upstreams with the names of the program's own, and addresses that do not fit the upstreams there are."""
    upstreams = {each.arguments[0].lower() for each in written.everything if each.name == "upstream" and each.arguments}
    for snippet in written.snippets:
        for directive in snippet.directives:
            if directive.name == "upstream" and directive.arguments[0].lower().startswith(UPSTREAM_PREFIX):
                message = (
                    f"must have a name that does not begin with `{UPSTREAM_PREFIX}`, as those of "
                    "`nginx.routes[].upstream` do"
                )
                yield snippet.violation(Finding(directive, message))
    if written.has_unknown_files:
        return
    for snippet in written.snippets:
        for directive in flat(snippet.directives):
            if directive.name == "proxy_pass":
                yield from map(snippet.violation, _port_of_an_upstream(directive, upstreams))
            elif directive.name in _NEED_PORTS and directive.arguments:
                yield from map(snippet.violation, _without_port(directive, upstreams))


def _port_of_an_upstream(directive: Directive, upstreams: set[str]) -> Iterator[Finding]:
    url = re.match(r"https?://([^/:$]+):\d+", directive.arguments[0])
    if url and url[1].lower() in upstreams:
        message = f"must not have a port: `{url[1]}` is an `upstream`, whose servers have ports of their own"
        instead = directive.arguments[0].replace(url[0], url[0].rpartition(":")[0], 1)
        yield Finding(directive, message, f"proxy_pass {instead};")


def _without_port(directive: Directive, upstreams: set[str]) -> Iterator[Finding]:
    address = re.sub(r"^(grpcs?|s?uwsgi)://", "", directive.arguments[0])
    is_variable = "$" in address and directive.name != "memcached_pass"
    is_named = address.startswith((UPSTREAM_PREFIX, "unix:")) or address.lower() in upstreams
    if not is_variable and not is_named and not re.fullmatch(r"[^/]+:\d{1,5}", address):
        message = f"must have host:port or the name of an `upstream`, not `{directive.arguments[0]}`"
        yield Finding(directive, message)


def blocks(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses servers of `upstream` blocks that other directives make impossible."""
    # All that NGINX Plus has here, it has in every version.
    version = None if written.reader.plus else written.reader.version
    for snippet in written.snippets:
        if snippet.place == HTTP:
            yield from map(snippet.violation, _blocks(snippet.directives, version))


def _blocks(inside: Iterable[Directive], version: tuple[int, ...] | None) -> Iterator[Finding]:
    """Checks the `upstream` blocks of `http`.

    Args:
        inside: the directives of `http`.
        version: the NGINX that reads them; none for NGINX Plus, and if it is not known.
    """
    inside = list(inside)
    has_resolver = any(each.name == "resolver" for each in inside)
    for block in inside:
        if block.name != "upstream":
            continue
        servers = [each for each in block.inside if each.name == "server"]
        names = {each.name for each in block.inside}
        if servers and "include" not in names and all("backup" in server.arguments[1:] for server in servers):
            yield Finding(servers[0], "must not have `backup`, since all servers of its upstream have it")
        for server in servers:
            yield from _address(server)
            yield from _of_plus(server, version)
        for server in servers:
            yield from _options(server, names, version, has_resolver=has_resolver)


def _address(server: Directive) -> Iterator[Finding]:
    if re.search(r"^(?!unix:).*/", server.arguments[0]):
        yield Finding(server, f"must have host:port, without a scheme or a path, not `{server.arguments[0]}`")


def _of_plus(server: Directive, version: tuple[int, ...] | None) -> Iterator[Finding]:
    plus = next((word for word in server.arguments[1:] if re.match("slow_start=|route=|drain$", word)), None)
    if plus and version:
        rest = " ".join(word for word in server.arguments if word != plus)
        yield Finding(server, f"has `{plus}`, which only NGINX Plus knows, and `edition` is oss", f"server {rest};")


def _options(
    server: Directive, names: set[str], version: tuple[int, ...] | None, *, has_resolver: bool
) -> Iterator[Finding]:
    """Checks a server's options against the other directives of its block.

    Args:
        server: the server.
        names: the directives of its block.
        version: as above.
        has_resolver: whether `http` has a resolver.
    """
    options = set(server.arguments[1:])
    methods = names & {"ip_hash", "hash", "random"}
    if "backup" in options and methods:
        yield Finding(server, f"must not have `backup` beside `{min(methods)}`")
    if "resolve" not in options:
        return
    if version and not reaches(version, _RESOLVES):
        yield Finding(server, f"needs NGINX {'.'.join(map(str, _RESOLVES))} for `resolve`")
    elif "zone" not in names:
        yield Finding(server, "needs a `zone` in its upstream for `resolve`")
    elif not has_resolver and "resolver" not in names:
        yield Finding(server, "needs a `resolver` for `resolve`, in its upstream or in http")

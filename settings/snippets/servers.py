"""Refuses servers and `listen` directives in snippets that take the routes' requests, or get none."""

import re
from collections.abc import Iterator

from settings.errors import RuleViolation
from settings.nginx_directives import listen_address
from settings.nginx_tree import Directive
from settings.snippets.model import Finding, Snippet, Snippets
from settings.snippets.ours import API_PORT, HEALTH_PORT, HTTP_PORT

_OF_SOCKET = (
    r"bind|deferred|reuseport|multipath|(backlog|fastopen|setfib|rcvbuf|sndbuf|accept_filter|ipv6only|so_keepalive)=.*"
)

_ONCE_PER_ADDRESS = ((r"default(_server)?", "a default server"), (_OF_SOCKET, "options of the socket"))
"""Patterns of `listen` parameters of which NGINX takes one for an address, and what they are."""

_OF_ALL_SERVERS = frozenset({"proxy_protocol", "ssl"})
"""Parameters of `listen` that hold for all servers of an address."""


def servers(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses servers whose ports or names are in the way of the program's own server."""
    is_plus = written.settings.edition == "plus"
    names = _names_of_ours(written)
    for snippet in written.snippets:
        for listen in _listens(snippet.directives) if snippet.context == "s" else ():
            yield from map(snippet.violation, _port(listen, is_plus=is_plus))
        for server in snippet.directives if snippet.context == "h" else ():
            if server.name == "server" and server.body is not None:
                yield from map(snippet.violation, _server(snippet, server, names, is_plus=is_plus))


def _names_of_ours(written: Snippets) -> set[str]:
    """Returns the names of the program's own server, in lower case: those of the key and of snippets in it."""
    names = {name.lower() for name in written.settings.nginx.server_name}
    for snippet in written.snippets:
        if snippet.context != "h":
            names |= _names(snippet.directives)
    return names


def _names(inside: tuple[Directive, ...]) -> set[str]:
    return {name.lower() for each in inside if each.name == "server_name" for name in each.arguments}


def _listens(inside: tuple[Directive, ...]) -> list[Directive]:
    return [each for each in inside if each.name == "listen" and each.arguments]


def _includes(server: Directive) -> bool:
    return any(each.name == "include" for each in server.inside)


def _server(snippet: Snippet, server: Directive, ours: set[str], *, is_plus: bool) -> Iterator[Finding]:
    """Checks one server.

    Args:
        snippet: the snippet that it is written in.
        server: the server.
        ours: the names of the program's own server.
        is_plus: whether NGINX Plus reads it.
    """
    listens = _listens(server.inside)
    for listen in listens:
        yield from _port(listen, is_plus=is_plus)
    if not listens and not _includes(server) and server.body:
        message = f"must have `listen {HTTP_PORT};`: without one, NGINX listens on a port that no Service has"
        inside = snippet.text[server.body[0] : server.body[1]]
        yield Finding(server, message, f"server {{ listen {HTTP_PORT};{inside}}}")
    yield from _name(server, listens, ours)


def _port(listen: Directive, *, is_plus: bool) -> Iterator[Finding]:
    address = listen_address(listen.arguments[0])
    if address.endswith(f":{HEALTH_PORT}"):
        yield Finding(listen, f"must not have the port {HEALTH_PORT}, which Kubernetes' probes use")
    if address.endswith(f":{API_PORT}") and is_plus:
        yield Finding(listen, f"must not have the port {API_PORT}, which NGINX Plus' API has")


def _name(server: Directive, listens: list[Directive], ours: set[str]) -> Iterator[Finding]:
    on_ours = [each for each in listens if listen_address(each.arguments[0]).endswith(f":{HTTP_PORT}")]
    if not on_ours:
        return
    theirs = _names(server.inside)
    both = sorted(theirs & ours)
    if both:
        yield Finding(server, f"has the name `{both[0]}`, which is one of `nginx.serverName`: NGINX would ignore ours")
    is_default = any("default_server" in each.arguments for each in on_ours)
    if is_default and not ours:
        message = "is the default server and would get all requests: set `nginx.serverName` to the names of the routes"
        yield Finding(server, message)
    if not is_default and not (theirs - {""}) and not _includes(server):
        yield Finding(server, "must have a `server_name`: without one, it would get no request")


def listens(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses `listen` parameters that differ between servers of one address, or that NGINX takes once for it."""
    found = _all_listens(written)
    yield from _shared_parameters(written, found)
    for pattern, what in _ONCE_PER_ADDRESS:
        yield from _second_parameters(found, pattern, what)
    yield from _both_families(found)


def _all_listens(written: Snippets) -> list[tuple[Snippet, Directive]]:
    """Returns every `listen` with its snippet, those of the program's own server first."""
    found: list[tuple[Snippet, Directive]] = []
    for snippet in sorted(written.snippets, key=lambda snippet: snippet.context != "s"):
        if snippet.context == "s":
            found += [(snippet, each) for each in _listens(snippet.directives)]
        elif snippet.context == "h":
            servers = [block for block in snippet.directives if block.name == "server"]
            found += [(snippet, each) for server in servers for each in _listens(server.inside)]
    return found


def _shared_parameters(written: Snippets, found: list[tuple[Snippet, Directive]]) -> Iterator[RuleViolation]:
    proxies = written.settings.nginx.trusted_proxies
    required = {"proxy_protocol"} if proxies and proxies.protocol == "proxyProtocol" else set[str]()
    of_ours = {f"*:{HTTP_PORT}": required}
    for snippet, listen in found:
        address, words = listen_address(listen.arguments[0]), set(listen.arguments[1:])
        if snippet.context == "s" and address.endswith(f":{HTTP_PORT}"):
            of_ours[address] = words
            for word in required - words:
                message = f"must have `{word}`, by which `nginx.trustedProxies.protocol` says that connections begin"
                yield snippet.violation(Finding(listen, message, f"listen {' '.join(listen.arguments)} {word};"))
        for word in sorted((_OF_ALL_SERVERS & words) - of_ours.get(address, words)):
            message = f"has `{word}`, which NGINX applies to all servers of the address: that of the routes lacks it"
            yield snippet.violation(Finding(listen, message, _without(listen, {word})))


def _second_parameters(found: list[tuple[Snippet, Directive]], pattern: str, what: str) -> Iterator[RuleViolation]:
    seen = set[str]()
    for snippet, listen in found:
        address = listen_address(listen.arguments[0])
        options = [each for each in listen.arguments[1:] if re.fullmatch(pattern, each)]
        if options and address in seen:
            message = f"has {what}, `{options[0]}`, which another `listen` of the same address has: NGINX takes one"
            yield snippet.violation(Finding(listen, message, _without(listen, set(options))))
        if options:
            seen.add(address)


def _both_families(found: list[tuple[Snippet, Directive]]) -> Iterator[RuleViolation]:
    """Refuses a socket of IPv6 that takes IPv4 too, beside one of IPv4: Linux gives the port to one of them.

    `nginx -t` does not see it: it skips addresses that are in use.
    """
    ours = {f"*:{HTTP_PORT}", f"*:{HEALTH_PORT}"}
    of_four = ours | {listen_address(listen.arguments[0]) for _, listen in found}
    for snippet, listen in found:
        host, _, port = listen_address(listen.arguments[0]).rpartition(":")
        if host == "[::]" and "ipv6only=off" in listen.arguments and f"*:{port}" in of_four:
            message = f"takes IPv4 connections too by `ipv6only=off`, and `listen {port}` has them: NGINX would end"
            yield snippet.violation(Finding(listen, message, _without(listen, {"ipv6only=off"})))


def _without(listen: Directive, words: set[str]) -> str:
    return f"listen {' '.join(each for each in listen.arguments if each not in words)};"

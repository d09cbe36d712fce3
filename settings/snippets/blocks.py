"""Checks each snippet's blocks together with the values that they inherit from the snippets around them."""

from collections.abc import Iterator

from settings.errors import RuleViolation
from settings.snippets.buffers import Values, header_buffers, proxy_buffers
from settings.snippets.certificates import client_certificates, server_certificates, unverified
from settings.snippets.model import HTTP, SERVER, Finding, Snippet, Snippets


def inherited(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses buffers and certificates that do not go together, in any block of any snippet."""
    values: Values = {}
    for snippet in written.snippets:
        yield from map(snippet.violation, _inherited(snippet, values))
        if snippet.route is None:
            values = {**values, **{each.name: each for each in snippet.directives if each.body is None}}


def _inherited(snippet: Snippet, values: Values) -> Iterator[Finding]:
    yield from proxy_buffers(snippet.directives, values)
    yield from header_buffers(snippet.directives, values)
    yield from client_certificates(snippet.directives, values)
    # The program writes the authorities of an upstream in HTTPS itself.
    if not (snippet.route and snippet.route.upstream and snippet.route.upstream.tls):
        yield from unverified(snippet.directives, values)


def of_servers(written: Snippets) -> Iterator[RuleViolation]:
    """Refuses servers without their certificates, and their buffers for headers, in http and in the program's own."""
    snippets = {snippet.place: snippet for snippet in written.snippets}
    http, server = snippets.get(HTTP), snippets.get(SERVER)
    of_http, of_server = (http.directives if http else ()), (server.directives if server else ())
    if http:
        yield from map(http.violation, server_certificates(of_http, of_server))
        around = {each.name: each for each in of_http}
        for block in of_http:
            if block.name == "server":
                yield from map(http.violation, server_certificates(block.inside, of_http))
                yield from map(http.violation, header_buffers(block.inside, around))
    if server:
        yield from map(server.violation, server_certificates(of_server, of_http))

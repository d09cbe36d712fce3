"""Refuses certificates in snippets without their keys, and TLS without what it needs."""

from collections.abc import Iterable, Iterator

from settings.nginx_directives import FREE_BLOCKS
from settings.nginx_tree import Directive
from settings.snippets.buffers import Values
from settings.snippets.model import Finding

_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""The authorities of the official images."""


def server_certificates(inside: Iterable[Directive], around: Iterable[Directive]) -> Iterator[Finding]:
    """Refuses a certificate without its key, and `listen … ssl` without a certificate, in a server or around it."""
    here = {each.name: each for each in inside}
    both = {**{each.name: each for each in around}, **here}
    listens = [each for each in inside if each.name == "listen" and {"ssl", "quic"} & set(each.arguments[1:])]
    certificate, key = "ssl_certificate" in both, "ssl_certificate_key" in both
    if listens and not (certificate and key):
        yield Finding(listens[0], "needs `ssl_certificate` and `ssl_certificate_key` in the same server")
    elif "ssl_certificate" in here and not key:
        yield Finding(here["ssl_certificate"], "needs `ssl_certificate_key` in the same server")


def client_certificates(inside: Iterable[Directive], outer: Values | None = None) -> Iterator[Finding]:
    """Refuses a certificate for upstreams without its key."""
    inside = list(inside)
    here = {each.name: each for each in inside}
    values = {**(outer or {}), **here}
    for proxy in ("proxy", "grpc", "uwsgi"):
        name = f"{proxy}_ssl_certificate"
        if name in here and f"{name}_key" not in values:
            yield Finding(here[name], f"needs `{name}_key` beside it")
    for each in inside:
        if each.body is not None and each.name not in FREE_BLOCKS:
            yield from client_certificates(each.inside, values)


def unverified(inside: Iterable[Directive], outer: Values) -> Iterator[Finding]:
    """Refuses an upstream in HTTPS whose certificate is to be checked, but by no authorities."""
    inside = list(inside)
    values = {**outer, **{each.name: each for each in inside}}
    verify = values.get("proxy_ssl_verify")
    is_checked = verify is not None and verify.arguments == ("on",) and "proxy_ssl_trusted_certificate" not in values
    for each in inside:
        if each.name == "proxy_pass" and each.arguments[0].startswith("https:") and is_checked:
            message = "has `proxy_ssl_verify on` in force, which needs `proxy_ssl_trusted_certificate`"
            yield Finding(
                each, message, f"proxy_pass {each.arguments[0]}; proxy_ssl_trusted_certificate {_AUTHORITIES};"
            )
        if each.name in {"location", "server", "if", "limit_except"}:
            yield from unverified(each.inside, values)

"""What NGINX refuses in blocks of directives together: the sizes of buffers, certificates.

Inherited values count: NGINX checks each block with what holds in it.
"""

import re
from collections.abc import Iterable, Iterator

from settings.nginx_directives import FREE_BLOCKS
from settings.nginx_tree import Directive
from settings.snippet_checks import Finding

_PAGE = 4096
PROXIES = ("proxy", "fastcgi", "uwsgi", "scgi")
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}

Values = dict[str, Directive]
"""The directive that sets each value, by name."""


def _bytes(text: str) -> int:
    unit = _UNITS.get(text[-1:].lower(), 1)
    digits = text.rstrip("kKmMgG")
    return int(digits) * unit if digits.isdigit() else 0


def buffers(inside: Iterable[Directive], outer: Values | None = None) -> Iterator[Finding]:
    """Sizes of buffers that do not go together, as NGINX merges them (`ngx_http_proxy_merge_loc_conf` and its kin).

    Args:
        inside: the directives of a block.
        outer: what holds around it.
    """
    inside = list(inside)
    here = {each.name: each for each in inside if each.body is None and each.arguments}
    values = {**(outer or {}), **here}
    for proxy in PROXIES:
        names = [f"{proxy}_{name}" for name in ("buffer_size", "buffers", "busy_buffers_size")]
        names += [f"{proxy}_temp_file_write_size", f"{proxy}_max_temp_file_size"]
        if any(name in here for name in names):
            culprit = here.get(f"{proxy}_buffers") or next(here[name] for name in names if name in here)
            message, larger = _buffers(proxy, values)
            if message and larger:
                written = f"{culprit.name} {' '.join(culprit.arguments)};"
                yield Finding(culprit, message, larger if culprit.name == f"{proxy}_buffers" else f"{written} {larger}")
            elif message:
                yield Finding(culprit, message)
    for each in inside:
        if each.body is not None and each.name not in FREE_BLOCKS and each.name != "upstream":
            yield from buffers(each.inside, values)


def _buffers(proxy: str, values: Values) -> tuple[str | None, str]:
    """What is wrong with the sizes, and the directive that would make them right."""

    def size(name: str, default: int) -> int:
        found = values.get(f"{proxy}_{name}")
        return _bytes(found.arguments[0]) if found else default

    buffer = size("buffer_size", _PAGE)
    of_many = values.get(f"{proxy}_buffers")
    count, each = (8, _PAGE)
    if of_many and len(of_many.arguments) == 2:
        count, each = _bytes(of_many.arguments[0]), _bytes(of_many.arguments[1])
    largest = max(buffer, each)
    busy = size("busy_buffers_size", 2 * largest)
    room = (count - 1) * each
    so = f"with {proxy}_buffer_size {buffer} and {proxy}_buffers {count} {each}, in bytes"
    if count < 2 or not each:
        return (
            f"does not go together with fewer than two {proxy}_buffers",
            f"{proxy}_buffers 8 {_short(max(buffer, _PAGE))};",
        )
    if busy < largest:
        return f"makes {proxy}_busy_buffers_size {busy} too small: it must be at least {largest} {so}", ""
    if busy >= room:
        enough = max(8, -(-busy // largest) + 2)
        larger = f"{proxy}_buffers {enough} {_short(largest)};"
        return (
            f"makes {proxy}_busy_buffers_size {busy} too large: it must be below {room} {so}; set `{larger}` for it",
            larger,
        )
    if size("temp_file_write_size", 2 * largest) < largest:
        return f"makes {proxy}_temp_file_write_size too small: it must be at least {largest} {so}", ""
    if 0 < size("max_temp_file_size", 2**30) < largest:
        return f"makes {proxy}_max_temp_file_size too small: it must be 0 or at least {largest} {so}", ""
    return None, ""


def _short(count: int) -> str:
    return f"{count // 1024}k" if count % 1024 == 0 else str(count)


def certificates(inside: Iterable[Directive], around: Iterable[Directive]) -> Iterator[Finding]:
    """A certificate without its key, or a `listen … ssl` without a certificate, in a server or around it."""
    here = {each.name: each for each in inside}
    both = {**{each.name: each for each in around}, **here}
    listens = [each for each in inside if each.name == "listen" and {"ssl", "quic"} & set(each.arguments[1:])]
    certificate, key = "ssl_certificate" in both, "ssl_certificate_key" in both
    if listens and not (certificate and key):
        yield Finding(listens[0], "needs `ssl_certificate` and `ssl_certificate_key` in the same server")
    elif "ssl_certificate" in here and not key:
        yield Finding(here["ssl_certificate"], "needs `ssl_certificate_key` in the same server")


def client_certificates(inside: Iterable[Directive], outer: Values | None = None) -> Iterator[Finding]:
    """A certificate for upstreams without its key."""
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
    """An upstream in HTTPS whose certificate is to be checked, without the authorities for that."""
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


_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Those of the official images."""


def header_buffers(inside: Iterable[Directive], outer: Values) -> Iterator[Finding]:
    """Buffers for headers that are smaller than what NGINX sets aside for a connection at once."""
    here = {each.name: each for each in inside if each.arguments}
    values = {**outer, **here}
    large, pool = values.get("large_client_header_buffers"), values.get("connection_pool_size")
    size = _bytes(large.arguments[-1]) if large else 8192
    # 64 bits: `ngx_http_core_create_srv_conf`.
    least = _bytes(pool.arguments[0]) if pool else 512
    if size < least and {"large_client_header_buffers", "connection_pool_size"} & set(here):
        culprit = here.get("large_client_header_buffers") or here["connection_pool_size"]
        message = f"makes large_client_header_buffers of {size} bytes smaller than the connection_pool_size of {least}"
        yield Finding(culprit, message)


def upstreams(inside: Iterable[Directive], version: tuple[int, ...] | None) -> Iterator[Finding]:
    """Servers of an `upstream` that its other directives make impossible.

    Args:
        inside: the directives of `http`.
        version: the NGINX that reads them; none where it is not known.
    """
    inside = list(inside)
    has_resolver = any(each.name == "resolver" for each in inside)
    for block in inside:
        names = {each.name for each in block.inside}
        servers = [each for each in block.inside if block.name == "upstream" and each.name == "server"]
        if servers and "include" not in names and all("backup" in server.arguments[1:] for server in servers):
            yield Finding(servers[0], "must not have `backup` where all of its upstream have it")
        for server in servers:
            if re.search(r"^(?!unix:).*/", server.arguments[0]):
                yield Finding(server, f"must have host:port, without a scheme or a path, not `{server.arguments[0]}`")
            plus = next((word for word in server.arguments[1:] if re.match("slow_start=|route=|drain$", word)), None)
            if plus and version:
                rest = " ".join(word for word in server.arguments if word != plus)
                yield Finding(
                    server, f"has `{plus}`, which NGINX Plus alone knows, and `edition` is oss", f"server {rest};"
                )
        for server in block.inside if block.name == "upstream" else ():
            options = set(server.arguments[1:]) if server.name == "server" else set[str]()
            methods = names & {"ip_hash", "hash", "random"}
            if "backup" in options and methods:
                yield Finding(server, f"must not have `backup` beside `{min(methods)}`")
            if "resolve" not in options:
                continue
            if version and version < _RESOLVES:
                yield Finding(server, f"needs NGINX {'.'.join(map(str, _RESOLVES))} for `resolve`")
            elif "zone" not in names:
                yield Finding(server, "needs a `zone` in its upstream for `resolve`")
            elif not has_resolver and "resolver" not in names:
                yield Finding(server, "needs a `resolver` for `resolve`, in its upstream or in http")


_RESOLVES = (1, 27, 3)
"""The first version, open source, with `resolve`; NGINX Plus always had it."""

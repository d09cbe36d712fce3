"""Warns of addresses in snippets that the network policies keep NGINX from; the cluster is not asked."""

import re
from collections.abc import Iterable, Iterator

from settings.errors import Place, path, set_command
from settings.nginx_tree import Directive
from settings.snippets.model import flat, snippets_of
from settings.snippets.ours import UPSTREAM_PREFIX
from settings.stack import Settings
from settings.types import bracketed, is_address, split_address
from settings.upstreams import service_of

_URL = re.compile(r"(?:(https?|grpcs?|uwsgi|suwsgi)://)?(\[[^\]]+\]|[^/:$\[\]]+)(?::(\d+))?(?:/.*)?", re.S)
_PASSES = frozenset({"proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"})
_EGRESS: Place = ("nginx", "egress")


def egress_warnings(settings: Settings) -> Iterator[str]:
    """Returns a line for each directive that sends requests or log lines to where no network policy lets them."""
    if not settings.network_policies:
        return
    nginx, written = settings.nginx, snippets_of(settings)
    pools = {each.arguments[0].lower() for each in written.everything if each.name == "upstream" and each.arguments}
    known = [(route.upstream.name(settings.namespace), route.upstream.port) for route in nginx.routes if route.upstream]
    known += [address for text in nginx.egress if (address := split_address(text))]
    for snippet in written.snippets:
        for each in flat(snippet.directives):
            at = f"{path(snippet.place)}: `{each.name}` in line {each.line}"
            if _is_syslog(each):
                yield f"{at} goes out by UDP, which the network policies do not let out: the lines are lost"
            target = _target(each, pools)
            if target and not _is_let_out(target, known, settings.namespace):
                address = f"{bracketed(target[0])}:{target[1]}"
                command = set_command((*_EGRESS, len(nginx.egress)), address)
                yield f"{at} leads to {address}, where the network policies do not let NGINX go: {command}"


def _is_syslog(each: Directive) -> bool:
    return (
        each.name in {"access_log", "error_log"}
        and each.arguments[0].startswith("syslog:server=")
        and "unix:" not in each.arguments[0]
    )


def _target(each: Directive, pools: set[str]) -> tuple[str, int] | None:
    """Returns the host and port of a directive; none if it has none of its own, or if only a request tells them."""
    is_server = each.name == "server" and each.body is None
    if not each.arguments or not (is_server or each.name in _PASSES):
        return None
    found = _URL.fullmatch(each.arguments[0])
    if found is None or each.arguments[0].startswith("unix:"):
        return None
    if found[2].lower() in pools or found[2].startswith(UPSTREAM_PREFIX):
        return None
    usual = 443 if found[1] in {"https", "grpcs"} else 80
    return found[2].strip("[]"), int(found[3] or usual)


def _is_let_out(target: tuple[str, int], known: Iterable[tuple[str, int]], namespace: str) -> bool:
    """Tells whether a policy for the known addresses lets a target out as well: see `components.network.to_hosts`."""
    host, port = target
    if re.match(r"127\.|::1$|localhost$", host):
        return True
    if is_address(host):
        return target in known
    service = service_of(host, namespace)
    if service:
        return any(other and other[1] == service[1] for other in (service_of(name, namespace) for name, _ in known))
    return any(port == other and not is_address(name) and not service_of(name, namespace) for name, other in known)

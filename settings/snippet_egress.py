"""Where snippets send what the network policies keep in: known without asking the cluster."""

import re
from collections.abc import Iterable, Iterator

from settings.errors import Place, path, set_command
from settings.nginx_tree import Directive, parse
from settings.snippet_checks import flat
from settings.stack import Settings
from settings.types import is_address, split_address
from settings.upstreams import service_of

_URL = re.compile(r"(?:(https?|grpcs?|uwsgi|suwsgi)://)?(\[[^\]]+\]|[^/:$\[\]]+)(?::(\d+))?(?:/.*)?", re.S)
_PASSES = frozenset({"proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "memcached_pass"})
_EGRESS: Place = ("nginx", "egress")


def egress_warnings(settings: Settings) -> Iterator[str]:
    """What a snippet sends requests or lines of the log to, and no policy lets out."""
    if not settings.network_policies:
        return
    nginx = settings.nginx
    texts: list[tuple[Place, str]] = [
        (("nginx", "extraConfig", "http"), nginx.extra_config.http),
        (("nginx", "extraConfig", "server"), nginx.extra_config.server),
    ]
    texts += [
        (("nginx", "routes", number, "extraConfig"), route.extra_config) for number, route in enumerate(nginx.routes)
    ]
    written = [(place, each) for place, text in texts for each in flat(parse(text))]
    pools = {each.arguments[0].lower() for _, each in written if each.name == "upstream" and each.arguments}
    known = [(route.upstream.name(settings.namespace), route.upstream.port) for route in nginx.routes if route.upstream]
    known += [address for text in nginx.egress if (address := split_address(text))]
    for place, each in written:
        if (
            each.name in {"access_log", "error_log"}
            and each.arguments[0].startswith("syslog:server=")
            and "unix:" not in each.arguments[0]
        ):
            yield (
                f"{path(place)}: `{each.name}` in line {each.line} goes out by UDP, which the network policies do not "
                "let out: the lines are lost"
            )
        target = _target(each, pools)
        if target and not _is_let_out(target, known, settings.namespace):
            host = f"[{target[0]}]" if ":" in target[0] else target[0]
            command = set_command((*_EGRESS, len(nginx.egress)), f"{host}:{target[1]}")
            yield (
                f"{path(place)}: `{each.name}` in line {each.line} leads to {host}:{target[1]}, where the network "
                f"policies do not let NGINX go: {command}"
            )


def _target(each: Directive, pools: set[str]) -> tuple[str, int] | None:
    """The host and port of a directive; none where it has none of its own, or where only a request tells."""
    is_server = each.name == "server" and each.body is None
    if not each.arguments or not (is_server or each.name in _PASSES):
        return None
    found = _URL.fullmatch(each.arguments[0])
    if (
        found is None
        or each.arguments[0].startswith("unix:")
        or found[2].lower() in pools
        or found[2].startswith("to_")
    ):
        return None
    usual = 443 if found[1] in {"https", "grpcs"} else 80
    return found[2].strip("[]"), int(found[3] or usual)


def _is_let_out(target: tuple[str, int], known: Iterable[tuple[str, int]], namespace: str) -> bool:
    """Whether a policy for what is known lets it out as well: see `components.network.to_hosts`."""
    host, port = target
    if re.match(r"127\.|::1$|localhost$", host):
        return True
    if is_address(host):
        return target in known
    service = service_of(host, namespace)
    if service:
        return any(other and other[1] == service[1] for other in (service_of(name, namespace) for name, _ in known))
    return any(port == other and not is_address(name) and not service_of(name, namespace) for name, other in known)

"""Makes the variables by which the Collector reaches its backends through a proxy."""

from urllib.parse import quote

from settings.collector import CollectorSettings
from settings.exporters import ExporterProxy
from settings.types import is_service


def proxy_url(proxy: ExporterProxy) -> str:
    """Returns the proxy as Go reads it from the environment, with its login in plain text, if it has one."""
    if proxy.username is None or proxy.password is None:
        return proxy.url
    login = ":".join(quote(part, safe="") for part in (proxy.username, proxy.password.get_secret_value()))
    return proxy.url.replace("://", f"://{login}@")


def not_proxied(settings: CollectorSettings) -> str:
    """Returns the hosts that are reached without the proxy, as Go reads them in NO_PROXY.

    gRPC uses HTTPS_PROXY with TLS and without, so the stack's own Tempo has to be in the list. The kubelet fills in
    the API server's address, which `kubernetesAttributes` asks.
    """
    hosts = [host for host, _ in settings.destinations]
    # Verbatim besides: Go compares the ends of names, and `tempo.web.svc.` or a cluster's own domain ends differently.
    services = [host for host in hosts if is_service(host) or host.lower().split(".")[2:3] == ["svc"]]
    entries = ["$(KUBERNETES_SERVICE_HOST)", ".svc", ".cluster.local", *services]
    return ",".join(dict.fromkeys([*entries, *(settings.proxy.exclude if settings.proxy else [])]))

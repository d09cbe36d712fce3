"""Where the Services lead that the configuration names, as the cluster has them: a NetworkPolicy cannot name one.

The backends of nearly all are pods of their namespace, which policies allow by its name. Those without a selector have
addresses that somebody wrote, and those of the type ExternalName are another name.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import httpx2
import pulumi
from lightkube import Client
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.resources.core_v1 import Service

from components.cluster import CONNECT_SECONDS, read_config
from settings import Settings
from settings.upstreams import service_of
from settings.values import split_endpoint

Host = tuple[str, int]
"""An address or a name, and a port."""


@dataclass(frozen=True)
class Backends:
    """Where Services lead that have no pods, by the component that connects to them."""

    nginx: Sequence[Host] = ()
    collector: Sequence[Host] = ()


def outside_pods(settings: Settings, *, kubeconfig: str | None, context: str | None) -> Backends:
    """What network policies must allow so that the Services' backends are reached that are no pods.

    A Service that is not there yet, or cannot be read, is taken for one of pods.

    Args:
        settings: the configuration, with the hosts that its components connect to.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
    """
    nginx, collector = (
        [(*service, port) for host, port in hosts if (service := service_of(host, settings.namespace))]
        for hosts in (_hosts_of_nginx(settings), _hosts_of_collector(settings))
    )
    if not settings.network_policies or not (nginx or collector):
        return Backends()
    try:
        found = read_backends({*nginx, *collector}, kubeconfig, context)
    except (
        ConfigError,
        httpx2.HTTPError,
        httpx2.InvalidURL,
        OSError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        # `node_host` has said that the cluster cannot be reached, or that its kubeconfig is none for this library.
        pulumi.log.debug(f"the Services that are connected to were not read: {error}")
        return Backends()
    return Backends(
        *(list(dict.fromkeys(host for name in services for host in found[name])) for services in (nginx, collector))
    )


def _hosts_of_nginx(settings: Settings) -> list[Host]:
    nginx = settings.nginx
    named = [*nginx.egress, *([nginx.exporter.endpoint] if nginx.exporter.endpoint else [])]
    upstreams = [route.upstream for route in nginx.routes if route.upstream]
    return [
        *((upstream.name(settings.namespace), upstream.port) for upstream in upstreams),
        *(split_endpoint(endpoint) for endpoint in named),
    ]


def _hosts_of_collector(settings: Settings) -> list[Host]:
    if not settings.collector.enabled:
        return []
    return [split_endpoint(exporter.endpoint) for exporter in settings.collector.exporters.values()]


def read_backends(
    services: Collection[tuple[str, str, int]], kubeconfig: str | None, context: str | None
) -> dict[tuple[str, str, int], list[Host]]:
    """The backends that are no pods, of Services by their name, namespace and port."""
    client = Client(config=read_config(kubeconfig, context), timeout=httpx2.Timeout(CONNECT_SECONDS))
    return {
        (name, namespace, port): _of_service(client, name, namespace, port, hops=_HOPS)
        for name, namespace, port in sorted(services)
    }


_HOPS = 3
"""Services of the type ExternalName may lead to each other, in a circle too."""


def _of_service(client: Client, name: str, namespace: str, port: int, *, hops: int) -> list[Host]:
    try:
        service = client.get(Service, name=name, namespace=namespace)
    except ApiError as error:
        if error.status.code != HTTPStatus.NOT_FOUND and not pulumi.runtime.is_dry_run():
            pulumi.log.warn(
                f"the Service {name} of the namespace {namespace}, which the configuration names, cannot be read: "
                f"{error}. If it has no selector, or is of the type ExternalName, network policies keep the stack's "
                "pods from its backends; those of NGINX are opened by `nginx.egress`"
            )
        return []
    spec = service.spec
    if spec is None or spec.selector:  # pyright: ignore[reportUnknownMemberType]
        return []
    if spec.type == "ExternalName":
        return _of_name(client, spec.externalName or "", port, hops=hops - 1)
    (port_name, *_) = [item.name for item in spec.ports or [] if item.port == port] or [None]
    # Without an address of its own its backends are what its name leads to, on the port that the route names.
    is_headless = spec.clusterIP == "None"
    return [
        (address, port if is_headless else number)
        for address, named, number in _endpoints(client, name, namespace)
        if is_headless or named == (port_name or "")
    ]


def _of_name(client: Client, name: str, port: int, *, hops: int) -> list[Host]:
    labels = name.rstrip(".").split(".")
    if labels[2:3] != ["svc"] or not hops:
        return [(name, port)] if name else []
    # Another Service: policies let NGINX reach the pods of its namespace by its name.
    return [(name, port), *_of_service(client, labels[0], labels[1], port, hops=hops)]


def _endpoints(client: Client, name: str, namespace: str) -> Iterator[tuple[str, str, int]]:
    """The addresses behind a Service, with the name and number of each port."""
    # Imported here: few stacks need it. What was written as Endpoints is mirrored as these.
    from lightkube.resources.discovery_v1 import EndpointSlice  # noqa: PLC0415

    labels = {"kubernetes.io/service-name": name}
    slices = client.list(EndpointSlice, namespace=namespace, labels=labels)  # pyright: ignore[reportArgumentType, reportUnknownMemberType]
    for piece in slices:
        for endpoint in piece.endpoints or []:
            for port in piece.ports or []:
                if port.port is not None:
                    yield from ((address, port.name or "", port.port) for address in endpoint.addresses)

"""Where the Services lead that upstreams name, as the cluster has them: a NetworkPolicy cannot name one.

The backends of nearly all are pods of their namespace, which policies allow by its name. Those without a selector have
addresses that somebody wrote, and those of the type ExternalName are another name.
"""

from collections.abc import Iterator, Sequence
from http import HTTPStatus

import httpx2
import pulumi
from lightkube import Client
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.resources.core_v1 import Service

from components.cluster import CONNECT_SECONDS, read_config
from settings import Settings

Host = tuple[str, int]
"""An address or a name, and a port."""


def outside_pods(settings: Settings, *, kubeconfig: str | None, context: str | None) -> list[Host]:
    """What network policies must allow so that NGINX reaches the Services' backends that are no pods.

    A Service that is not there yet, or cannot be read, is taken for one of pods.

    Args:
        settings: the configuration, with the routes.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.
    """
    upstreams = [route.upstream for route in settings.nginx.routes if route.upstream]
    services = sorted(
        {(service, upstream.port) for upstream in upstreams if (service := upstream.service_in(settings.namespace))}
    )
    if not services or not settings.network_policies:
        return []
    try:
        return sorted(set(read_backends(services, kubeconfig, context)))
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
        pulumi.log.debug(f"the upstreams' Services were not read: {error}")
        return []


def read_backends(
    services: Sequence[tuple[tuple[str, str], int]], kubeconfig: str | None, context: str | None
) -> Iterator[Host]:
    """The backends that are no pods, of Services by their name, namespace and port."""
    client = Client(config=read_config(kubeconfig, context), timeout=httpx2.Timeout(CONNECT_SECONDS))
    for (name, namespace), port in services:
        yield from _of_service(client, name, namespace, port, hops=_HOPS)


_HOPS = 3
"""Services of the type ExternalName may lead to each other, in a circle too."""


def _of_service(client: Client, name: str, namespace: str, port: int, *, hops: int) -> list[Host]:
    try:
        service = client.get(Service, name=name, namespace=namespace)
    except ApiError as error:
        if error.status.code != HTTPStatus.NOT_FOUND and not pulumi.runtime.is_dry_run():
            pulumi.log.warn(
                f"the Service {name} of the namespace {namespace}, to which a route leads, cannot be read: {error}. If "
                "it has no selector, or is of the type ExternalName, network policies keep NGINX from its backends "
                "unless `nginx.egress` names them"
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

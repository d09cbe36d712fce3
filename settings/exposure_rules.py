"""What the keys under `service`, and Tempo's password, cannot do together: as in `settings.combinations`."""

import json
from collections.abc import Callable, Iterator

from settings.mistakes import Broken, Mistake, Place, remove_command, set_command
from settings.stack import Settings

NETWORK_POLICIES: Place = ("networkPolicies",)
PASSWORD: Place = ("tempoPassword",)


def _node_port_needs_nodes(settings: Settings) -> Iterator[Broken]:
    for component, service, node_port in settings.exposed():
        if service.type == "ClusterIP" and node_port is not None:
            place: Place = (component, "nodePort")
            yield Broken(
                Mistake(
                    place,
                    f"must not be set: `{component}.service.type` is ClusterIP, which opens no port on the nodes",
                    remove_command(place),
                    str(node_port),
                ),
                ((component, "service"),),
            )


def _restriction_needs_policies(settings: Settings) -> Iterator[Broken]:
    """Load balancers check addresses themselves, but the NodePort that Kubernetes opens for one checks nothing."""
    for component, service, _ in settings.exposed():
        for name, values in (
            ("allowedAddresses", service.allowed_addresses),
            ("allowedNamespaces", service.allowed_namespaces),
        ):
            if values and not settings.network_policies:
                yield Broken(
                    Mistake(
                        (component, "service", name),
                        "needs `networkPolicies`, which enforce it and are off",
                        set_command(NETWORK_POLICIES, "true"),
                        json.dumps(values),
                    ),
                    (NETWORK_POLICIES,),
                )


def _addresses_need_an_outside(settings: Settings) -> Iterator[Broken]:
    for component, service, _ in settings.exposed():
        if service.type == "ClusterIP" and service.allowed_addresses:
            place: Place = (component, "service", "allowedAddresses")
            yield Broken(
                Mistake(
                    place,
                    f"is for clients outside the cluster, whom `{component}.service.type` ClusterIP keeps out; "
                    "for pods, set `allowedNamespaces`",
                    remove_command(place),
                    json.dumps(service.allowed_addresses),
                )
            )


def _namespaces_alone_need_no_outside(settings: Settings) -> Iterator[Broken]:
    for component, service, _ in settings.exposed():
        if service.type != "ClusterIP" and service.allowed_namespaces and not service.allowed_addresses:
            type_: Place = (component, "service", "type")
            yield Broken(
                Mistake(
                    (component, "service", "allowedNamespaces"),
                    f"keeps everybody outside away, for whom `{component}.service.type` {service.type} opens ports: "
                    "take ClusterIP, or name the clients outside in `allowedAddresses`",
                    set_command(type_, "ClusterIP"),
                    json.dumps(service.allowed_namespaces),
                ),
                ((component, "service"),),
            )


def _password_needs_tempo(settings: Settings) -> Iterator[Broken]:
    if settings.tempo_password and not settings.tempo.enabled:
        yield Broken(
            Mistake(
                PASSWORD,
                "is for the stack's own Tempo, and `tempo.enabled` is false",
                remove_command(PASSWORD),
                "[secret]",
            ),
            (("tempo", "enabled"),),
        )


EXPOSURE_RULES: tuple[Callable[[Settings], Iterator[Broken]], ...] = (
    _node_port_needs_nodes,
    _restriction_needs_policies,
    _addresses_need_an_outside,
    _namespaces_alone_need_no_outside,
    _password_needs_tempo,
)

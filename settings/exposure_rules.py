"""What the keys under `service`, and Tempo's password, cannot do together: as in `settings.rules`."""

import json
from collections.abc import Callable, Iterator

from settings.errors import ConfigError, Place, RuleViolation, remove_command, set_command
from settings.stack import Settings

NETWORK_POLICIES: Place = ("networkPolicies",)
PASSWORD: Place = ("tempoPassword",)


def _node_port_needs_nodes(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, node_port in settings.exposed():
        if service.type == "ClusterIP" and node_port is not None:
            place: Place = (component, "nodePort")
            yield RuleViolation(
                ConfigError(
                    place,
                    f"must not be set: `{component}.service.type` is ClusterIP, which opens no port on the nodes",
                    remove_command(place),
                    str(node_port),
                ),
                ((component, "service"),),
            )


def _restriction_needs_policies(settings: Settings) -> Iterator[RuleViolation]:
    """Load balancers check addresses themselves, but the NodePort that Kubernetes opens for one checks nothing."""
    for component, service, _ in settings.exposed():
        for name, values in (
            ("allowedAddresses", service.allowed_addresses),
            ("allowedNamespaces", service.allowed_namespaces),
        ):
            if values and not settings.network_policies:
                yield RuleViolation(
                    ConfigError(
                        (component, "service", name),
                        "needs `networkPolicies`, which enforce it and are off",
                        set_command(NETWORK_POLICIES, "true"),
                        json.dumps(values),
                    ),
                    (NETWORK_POLICIES,),
                )


def _addresses_need_an_outside(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, _ in settings.exposed():
        if service.type == "ClusterIP" and service.allowed_addresses:
            place: Place = (component, "service", "allowedAddresses")
            yield RuleViolation(
                ConfigError(
                    place,
                    f"is for clients outside the cluster, whom `{component}.service.type` ClusterIP keeps out; "
                    "for pods, set `allowedNamespaces`",
                    remove_command(place),
                    json.dumps(service.allowed_addresses),
                )
            )


def _namespaces_alone_need_no_outside(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, _ in settings.exposed():
        if service.type != "ClusterIP" and service.allowed_namespaces and not service.allowed_addresses:
            type_: Place = (component, "service", "type")
            yield RuleViolation(
                ConfigError(
                    (component, "service", "allowedNamespaces"),
                    f"keeps everybody outside away, for whom `{component}.service.type` {service.type} opens ports: "
                    "take ClusterIP, or name the clients outside in `allowedAddresses`",
                    set_command(type_, "ClusterIP"),
                    json.dumps(service.allowed_namespaces),
                ),
                ((component, "service"),),
            )


def _password_needs_tempo(settings: Settings) -> Iterator[RuleViolation]:
    if settings.tempo_password and not settings.tempo.enabled:
        yield RuleViolation(
            ConfigError(
                PASSWORD,
                "is for the stack's own Tempo, and `tempo.enabled` is false",
                remove_command(PASSWORD),
                "[secret]",
            ),
            (("tempo", "enabled"),),
        )


EXPOSURE_RULES: tuple[Callable[[Settings], Iterator[RuleViolation]], ...] = (
    _node_port_needs_nodes,
    _restriction_needs_policies,
    _addresses_need_an_outside,
    _namespaces_alone_need_no_outside,
    _password_needs_tempo,
)

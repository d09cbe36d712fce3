"""Rules of the keys under `service`, and of Tempo's password."""

import re
from collections.abc import Iterator

from settings.errors import Place, RuleViolation, needs, remove_command, set_command, violation
from settings.stack import Settings

_POLICIES, _PASSWORD = "networkPolicies", "tempoPassword"


def _node_port_needs_nodes(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, node_port in settings.exposed():
        if service.type == "ClusterIP" and node_port is not None:
            message = f"must not be set: `{component}.service.type` is ClusterIP, which opens no port on the nodes"
            yield violation(f"{component}.nodePort", message, depends_on=[f"{component}.service"])


def _restriction_needs_policies(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a restriction without policies.

    Load balancers check addresses themselves, but the NodePort that Kubernetes opens for one checks nothing.
    """
    if settings.network_policies:
        return
    for component, service, _ in settings.exposed():
        lists = {"allowedAddresses": service.allowed_addresses, "allowedNamespaces": service.allowed_namespaces}
        for name in (name for name, values in lists.items() if values):
            message = f"needs `{_POLICIES}`, which enforce it and are off"
            yield needs(f"{component}.service.{name}", message, _POLICIES, value=True)


def _addresses_need_an_outside(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, _ in settings.exposed():
        if service.type == "ClusterIP" and service.allowed_addresses:
            message = (
                f"is for clients outside the cluster, whom `{component}.service.type` ClusterIP keeps out; for pods, "
                "set `allowedNamespaces`"
            )
            yield violation(f"{component}.service.allowedAddresses", message)


def _namespaces_alone_need_no_outside(settings: Settings) -> Iterator[RuleViolation]:
    for component, service, _ in settings.exposed():
        if service.type != "ClusterIP" and service.allowed_namespaces and not service.allowed_addresses:
            place = f"{component}.service"
            message = (
                f"keeps all clients outside the cluster away, for whom `{place}.type` {service.type} opens ports: take "
                "ClusterIP, or name the clients outside in `allowedAddresses`"
            )
            fix = set_command(f"{place}.type", "ClusterIP")
            yield violation(f"{place}.allowedNamespaces", message, fix=fix, depends_on=[place])


def _proxy_protocol(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a load balancer whose connections begin with the PROXY protocol, which a receiver takes for a request.

    Clouds name their annotations alike: `service.beta.kubernetes.io/aws-load-balancer-proxy-protocol`,
    `load-balancer.hetzner.cloud/uses-proxyprotocol`, `loadbalancer.openstack.org/proxy-protocol`.
    """
    for component, service, _ in settings.exposed():
        if service.type != "LoadBalancer" or (component == "nginx" and _takes_proxy_protocol(settings)):
            continue
        for name, value in service.annotations.items():
            if not _has_proxy_protocol(name, value, _PORTS[component]):
                continue
            place: Place = (component, "service", "annotations", name)
            message = "makes connections begin with the PROXY protocol, "
            if component == "nginx":
                message += (
                    "which NGINX takes with `nginx.trustedProxies` alone: its `addresses`, and `proxyProtocol` as "
                )
                message += "its `protocol`"
            else:
                message += f"which {_RECEIVERS[component]} does not take"
            # The annotation of several settings would take the others away with it.
            fix = remove_command(place) if _is_of_proxy_protocol(name) else ""
            yield violation(place, message, fix=fix, depends_on=["nginx.trustedProxies", "nginx.extraConfig"])


_PORTS = {"nginx": 80, "tempo": 3200, "grafana": 3000}
"""Ports of the Services."""

_RECEIVERS = {"tempo": "Tempo's API", "grafana": "Grafana"}

_OFF = frozenset({"", "0", "false", "no", "none", "off", "disable", "disabled"})


def _has_proxy_protocol(name: str, value: str, port: int) -> bool:
    """Tells whether an annotation switches it on, by the documentation of AWS, Akamai, IBM, Oracle and others."""
    if name.endswith(f"/linode-loadbalancer-port-{port}"):
        return re.search(r'"proxy-protocol"\s*:\s*"v[12]"', value) is not None
    if name.endswith("/ibm-load-balancer-cloud-provider-enable-features"):
        return "proxy-protocol" in re.split(r"[,\s]+", value)
    is_on = _is_of_proxy_protocol(name) and value.strip().lower() not in _OFF
    return is_on or "proxy_protocol_v2.enabled=true" in value


def _is_of_proxy_protocol(name: str) -> bool:
    return re.search("proxyprotocol|ppv2enabled", re.sub("[-_]", "", name).lower()) is not None


def _takes_proxy_protocol(settings: Settings) -> bool:
    proxies, server = settings.nginx.trusted_proxies, settings.nginx.extra_config.server
    is_listened_for = re.search(r"\blisten\s[^;]*\bproxy_protocol\b", server) is not None
    return is_listened_for or (proxies is not None and proxies.protocol == "proxyProtocol")


def _tls_ports(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects TLS of a load balancer at ports that NGINX's Service does not have, so that it would have none.

    Such annotations are `service.beta.kubernetes.io/aws-load-balancer-ssl-ports` and `do-loadbalancer-tls-ports`.
    """
    service = settings.nginx.service
    for name, value in service.annotations.items():
        ports = {port.strip() for port in value.split(",")}
        is_listed = re.search(r"-(ssl|tls|https)-ports$", name) is not None
        if service.type == "LoadBalancer" and is_listed and not ports & {"80", "http", "*"}:
            place: Place = ("nginx", "service", "annotations", name)
            message = "must name the port 80, called `http`: NGINX's Service has no other, and would get no TLS"
            yield violation(place, message, set_to="80")


def _password_needs_tempo(settings: Settings) -> Iterator[RuleViolation]:
    if settings.tempo_password and not settings.tempo.enabled:
        message = "is for the stack's own Tempo, and `tempo.enabled` is false"
        yield violation(_PASSWORD, message, depends_on=["tempo.enabled"])


EXPOSURE_RULES = (
    _node_port_needs_nodes,
    _restriction_needs_policies,
    _addresses_need_an_outside,
    _namespaces_alone_need_no_outside,
    _proxy_protocol,
    _tls_ports,
    _password_needs_tempo,
)

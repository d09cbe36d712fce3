"""Rules of the whole stack: namespace, ports, resources, scheduling, and the login at the registry."""

import re
from collections.abc import Iterator

from settings.errors import Place, RuleViolation, needs, remove_command, repeated, set_command, violation
from settings.general import Resources
from settings.stack import Settings
from settings.tempo_parts import PART_KEYS
from settings.types import amount

_SYSTEM = (
    # "Avoid creating namespaces with the prefix `kube-`, since it is reserved for Kubernetes system namespaces":
    # kubernetes.io/docs/concepts/overview/working-with-objects/namespaces.
    (r"kube-.*", "Kubernetes"),
    # "These projects host cluster components": OpenShift's documentation, "Working with projects".
    (r"openshift(-.*)?", "OpenShift"),
    # gmp-*: "Do not modify or deploy anything in this namespace", Google's "Managed Service for Prometheus".
    (r"(gke|gmp)-.*", "Google Kubernetes Engine"),
    # Rancher's "Sample PodSecurityConfiguration" lists these among the namespaces that its own components need.
    (r"(cattle|fleet)-.*", "Rancher"),
    (r"calico-(system|apiserver)|tigera-.*", "Calico"),
)
"""Namespaces of those who make the cluster, by their documentation, and their makers.

Namespaces of programs that somebody chose to install (cert-manager, ingress-nginx, istio-system) are not among them.
"""


def _namespace(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a system namespace, with `createNamespace` on or off, and `default` with it on.

    `pulumi up` would label it *restricted*, so that the API server refuses the cluster's own pods, and `pulumi destroy`
    would delete it. With `createNamespace` off neither happens, but the cluster's next upgrade still removes what runs
    there, and the cluster's policies exempt it. `default` is for everyone's use and only cannot be created.
    """
    name = settings.namespace
    maker = next((maker for pattern, maker in _SYSTEM if re.fullmatch(pattern, name)), None)
    if maker:
        yield violation("namespace", f"is a system namespace of {maker}: take one of your own", set_to="tracing")
    elif name == "default" and settings.create_namespace:
        message = (
            "exists in every cluster, cannot be deleted and may hold the pods of others: take a namespace of your own, "
            "or use it as it is"
        )
        fix = set_command("createNamespace", value=False)
        yield violation("namespace", message, fix=fix, depends_on=["createNamespace"])


def _node_ports(settings: Settings) -> Iterator[RuleViolation]:
    taken: dict[int, str] = {}
    for component, _, port in settings.exposed():
        first = taken.setdefault(port, component) if port else component
        if first != component:
            message = f"is `{first}.nodePort` too: a port of the nodes belongs to one Service"
            yield violation(f"{component}.nodePort", message, depends_on=[f"{first}.nodePort"])


def _resources(settings: Settings) -> Iterator[RuleViolation]:
    by_container: dict[str, Resources] = {
        "nginx": settings.nginx.resources,
        "collector": settings.collector.resources,
        "tempo": settings.tempo.resources,
        **{
            f"tempo.{PART_KEYS[name]}": part.resources
            for name, part in settings.tempo.parts(makes_metrics=True).items()
        },
        "tempo.gateway": settings.tempo.gateway.resources,
        "prometheus": settings.prometheus.resources,
        "grafana": settings.grafana.resources,
        "demo": settings.demo.resources,
    }
    for container, resources in by_container.items():
        pairs = (("memory", resources.memory, resources.memory_limit), ("cpu", resources.cpu, resources.cpu_limit))
        for name, request, limit in pairs:
            if limit is not None and amount(request) > amount(limit):
                place = f"{container}.resources.{name}"
                message = f"must not be more than `{place}Limit`, which is {limit}"
                yield violation(place, message, set_to=limit, echoed=[limit])


def _tolerations(settings: Settings) -> Iterator[RuleViolation]:
    for number, toleration in enumerate(settings.scheduling.tolerations):
        place: Place = ("scheduling", "tolerations", number)
        has_value = toleration.value is not None
        if (toleration.operator == "Equal") != has_value:
            right = "Equal" if has_value else "Exists"
            yield violation((*place, "operator"), "must be Equal with a `value`, and Exists without one", set_to=right)
        if toleration.key is None and toleration.operator == "Equal":
            yield violation((*place, "key"), "is required with the operator Equal", set_to="dedicated")


def _topology_spread(settings: Settings) -> Iterator[RuleViolation]:
    spreads = settings.scheduling.topology_spread
    for number, _ in repeated((spread.topology_key, spread.when_unsatisfiable) for spread in spreads):
        place: Place = ("scheduling", "topologySpread", number)
        unsatisfiable = spreads[number].when_unsatisfiable
        message = f"is there twice with `whenUnsatisfiable` {unsatisfiable}: Kubernetes takes it once"
        yield violation((*place, "topologyKey"), message, fix=remove_command(place))


_LABELS, _ANNOTATIONS = ("labels",), ("annotations",)
_ISTIO_SIDECAR, _ISTIO_TUNNEL = "sidecar.istio.io/inject", "istio.io/dataplane-mode"
_MESHES: dict[str, tuple[str, ...]] = {
    "istio-injection": _LABELS,
    "istio.io/rev": _LABELS,
    _ISTIO_TUNNEL: _LABELS,
    _ISTIO_SIDECAR: (*_LABELS, *_ANNOTATIONS),
    "linkerd.io/inject": _ANNOTATIONS,
    "kuma.io/sidecar-injection": (*_LABELS, *_ANNOTATIONS),
    "consul.hashicorp.com/connect-inject": _ANNOTATIONS,
}
"""Keys by which service meshes take pods, and where each mesh reads its own, by their documentation."""

_NO_MESH = frozenset({"disabled", "false", "none"})


def _mesh_keys(settings: Settings) -> Iterator[Place]:
    """Yields the labels and annotations that bring the pods into a service mesh."""
    given = {"labels": settings.labels, "annotations": settings.annotations}
    # A pod's own word has precedence over the revision and over its namespace's.
    has_no_sidecar = any(values.get(_ISTIO_SIDECAR) == "false" for values in given.values())
    for kind, values in given.items():
        for name, value in values.items():
            is_off = value in _NO_MESH or (has_no_sidecar and name in {"istio-injection", "istio.io/rev"})
            if kind in _MESHES.get(name, ()) and not is_off:
                yield kind, name


def _mesh(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects what brings the pods into a service mesh that they cannot join: they would not become Ready."""
    for place in _mesh_keys(settings):
        off = set_command("networkPolicies", value=False)
        if settings.network_policies and place[1] == _ISTIO_TUNNEL:
            message = (
                "brings the pods into a service mesh, whose connections come in at the port 15008, which the network "
                f"policies close: {off}"
            )
            yield violation(place, message, depends_on=["networkPolicies"])
        elif settings.network_policies:
            message = (
                f"brings the pods into a service mesh, and the network policies keep them from its control plane: {off}"
                ". The namespace is *restricted* besides, and takes sidecars only if the mesh has its CNI plugin "
                "(istio/istio#35894)"
            )
            yield violation(place, message, depends_on=["networkPolicies"])
        elif place == ("labels", "istio-injection") and not settings.create_namespace:
            message = "is a label of namespaces, and the stack labels none that exists: label it yourself"
            yield violation(place, message, depends_on=["createNamespace"])


def _registry(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects half of a login."""
    username, password = "registryUsername", "registryPassword"
    if settings.registry_password and not settings.registry_username:
        yield violation(username, f"is required beside `{password}`", set_to="puller", depends_on=[password])
    if settings.registry_username and not settings.registry_password:
        fix = set_command(password, secret=True)
        yield violation(password, f"is required beside `{username}`", fix=fix, depends_on=[username])


def _one_registry(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects a login if there are several registries, so that no registry gets the user of another."""
    registries = sorted(settings.registries())
    if settings.registry_username and len(registries) > 1:
        # GitHub's has the Collector's own images, which need no login.
        others = [name for name in registries if name != "ghcr.io" or settings.collector.image]
        message = f"is a user of which registry? The images are pulled from {', '.join(registries)}"
        if len(others) > 1:
            # A wrong guess would send the password to another registry.
            message += ". Set `registryAddress` to that one"
        yield violation(
            "registryUsername",
            message,
            fix=set_command("registryAddress", others[0]) if len(others) == 1 else "",
            depends_on=[
                "nginx.image",
                "plus",
                "collector.image",
                "tempo.image",
                "prometheus",
                "imageRegistry",
                "registryAddress",
            ],
        )


def _storage_classes(settings: Settings) -> Iterator[RuleViolation]:
    """Rejects the class of a volume that is not asked for."""
    for component, persistence, size in (
        ("tempo", settings.tempo.persistence, "10Gi"),
        ("prometheus", settings.prometheus.persistence, "10Gi"),
        ("grafana", settings.grafana.persistence, "1Gi"),
    ):
        if persistence.storage_class and not persistence.size:
            message, place = "is for a volume, which has no size yet", f"{component}.persistence"
            yield needs(f"{place}.storageClass", message, f"{place}.size", size)


STACK_RULES = (
    _namespace,
    _node_ports,
    _resources,
    _tolerations,
    _topology_spread,
    _storage_classes,
    _mesh,
    _registry,
    _one_registry,
)

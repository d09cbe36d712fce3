"""Holds the policies' rules: pure functions from Kubernetes objects to messages, one for each violation.

Each message names the object, what is wrong and what is allowed. The rules know nothing of Pulumi; `engine.py` passes
them the objects.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from objects import UNKNOWN, Object, containers, items, kind_of, mapping, pod_template, read, sequence, title

PINNED: Final = 'a tag other than "latest", or a digest'
ONE_WORKLOAD: Final = "labels that the pods of exactly one workload in its namespace have"
RUN_TO_COMPLETION: Final = ("Job", "CronJob")


def images_pinned(item: Object) -> list[str]:
    """Requires a tag other than `latest`, or a digest, of every image.

    It requires no digest and does not check whether the tag exists.
    """
    messages: list[str] = []
    for place, container in containers(item, "initContainers", "containers", "ephemeralContainers"):
        image = container.get("image")
        if image is UNKNOWN:
            continue
        wrong = _unpinned(image) if isinstance(image, str) and image else "no image is named"
        if wrong:
            messages.append(f"{place}: {wrong}; allowed: {PINNED}")
    return messages


def _unpinned(image: str) -> str | None:
    repository, _, digest = image.partition("@")
    if re.fullmatch(r"[a-z0-9+._-]+:[0-9a-f]{32,}", digest):
        return None
    # The part before the first slash may be a registry with a port.
    tag = repository.rpartition("/")[2].partition(":")[2]
    if not tag:
        return f'the image "{image}" has no tag'
    return f'the image "{image}" has the tag "latest"' if tag == "latest" else None


def services_select_pods(objects: Sequence[Object]) -> list[str]:
    """Requires each Service to select the pods of exactly one workload of the stack, and to name ports that they have.

    A headless Service may select those of several: it divides no requests, and its clients learn each pod's address.
    Services of the type ExternalName are exempt: they have no pods. The pods' probes check whether a process listens.
    """
    services = [item for item in objects if kind_of(item) == "Service"]
    return [
        f"{title(service)}: {wrong}"
        for service in services
        if read(service, "spec", "type") not in ("ExternalName", UNKNOWN)
        for wrong in _wrong_selection(service, objects)
    ]


def _wrong_selection(service: Object, objects: Sequence[Object]) -> Iterator[str]:
    if read(service, "spec", "selector") is UNKNOWN:
        return
    selector = mapping(service, "spec", "selector")
    if not selector:
        yield f"it has no selector; allowed: {ONE_WORKLOAD}"
        return
    namespace = read(service, "metadata", "namespace")
    neighbours = [item for item in objects if _may_equal(read(item, "metadata", "namespace"), namespace)]
    selected = [item for item in neighbours if _may_select(selector, item)]
    if len(selected) == 1 or (selected and read(service, "spec", "clusterIP") == "None"):
        for workload in selected:
            yield from _wrong_target_ports(service, workload)
    elif not selected:
        matched = f'no workload in the namespace "{namespace}"' if isinstance(namespace, str) else "no workload"
        yield f"its selector {_written(selector)} matches the pods of {matched}; allowed: {ONE_WORKLOAD}"
    elif not _has_unknown(namespace, selector, *selected):
        matched = ", ".join(title(item) for item in selected)
        yield f"its selector {_written(selector)} matches the pods of {matched}; allowed: {ONE_WORKLOAD}"


def _may_equal(one: object, other: object) -> bool:
    return one == other or UNKNOWN in (one, other)


def _may_select(selector: Object, item: Object) -> bool:
    template = pod_template(item)
    if template is None:
        return False
    return all(_may_equal(read(template, "metadata", "labels", key), value) for key, value in selector.items())


def _has_unknown(namespace: object, selector: Object, *workloads: Object) -> bool:
    labels = [read(pod_template(item), "metadata", "labels", key) for item in workloads for key in selector]
    namespaces = [read(item, "metadata", "namespace") for item in workloads]
    return UNKNOWN in (namespace, *selector.values(), *labels, *namespaces)


def _wrong_target_ports(service: Object, workload: Object) -> Iterator[str]:
    ports = [port for _, container in containers(workload, "containers") for port in items(container, "ports")]
    for port in items(service, "spec", "ports"):
        target = port.get("targetPort")
        protocol = port.get("protocol") or "TCP"
        # Kubernetes looks a port up by its name and its protocol.
        names = [str(item.get("name")) for item in ports if _may_equal(item.get("protocol") or "TCP", protocol)]
        if isinstance(target, str) and target not in names and UNKNOWN not in [item.get("name") for item in ports]:
            allowed = ", ".join(f'"{name}"' for name in names if name != "None") or "a number, since they have no name"
            yield (f'targetPort "{target}" is not among the {protocol} ports of {title(workload)}; allowed: {allowed}')


def _written(labels: Object) -> str:
    return "{" + ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) + "}"


def probes_and_resources(item: Object) -> list[str]:
    """Requires requests of CPU and memory, a memory limit, and readiness and liveness probes of each container.

    Init containers, Jobs and CronJobs run to completion and need no probes. The rule requires no CPU limit, since that
    delays requests without need.
    """
    messages: list[str] = []
    resources = (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
    for field in ("initContainers", "containers"):
        probed = field == "containers" and kind_of(item) not in RUN_TO_COMPLETION
        required = [("readinessProbe",), ("livenessProbe",)] if probed else []
        required += [("resources", *path) for path in resources]
        for place, container in containers(item, field):
            missing = [".".join(path) for path in required if not read(container, *path)]
            if missing:
                messages.append(f"{place}: {', '.join(missing)} {_are(missing)} missing; each is required")
    return messages


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def node_ports_declared(objects: Sequence[Object], allowed: Sequence[str]) -> list[str]:
    """Allows only Services with a declared name to be open to the outside: by NodePort, LoadBalancer or external IPs.

    Args:
        objects: the stack's objects.
        allowed: the declared names.
    """
    named = f'a name in the policy\'s configuration "allowed": {", ".join(allowed) or "none is there"}'
    messages: list[str] = []
    for item in objects:
        if kind_of(item) != "Service" or read(item, "metadata", "name") in (*allowed, UNKNOWN):
            continue
        kind = read(item, "spec", "type")
        if kind in ("NodePort", "LoadBalancer"):
            messages.append(f"{title(item)}: its type is {kind}; allowed: ClusterIP, or {named}")
        if addresses := sequence(item, "spec", "externalIPs"):
            shown = ", ".join(map(str, addresses))
            messages.append(f"{title(item)}: it answers at the external addresses {shown}; allowed: none, or {named}")
    return messages


CLUSTER_SCOPED: Final = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "GatewayClass",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)
"""Kinds that are in no namespace: `kubectl api-resources --namespaced=false` of Kubernetes 1.32, and GatewayClass."""

PROVIDERS_DEFAULT: Final = "default"
"""The namespace of objects that name none: the provider writes it before a policy sees the object."""


def one_namespace(objects: Sequence[Object]) -> list[str]:
    """Requires every namespaced object to name the stack's one namespace.

    That is the stack's own Namespace. If the stack makes none, or more than one, it is the namespace that most objects
    name. It is `default` only if all objects are in it: a stack may use `default`, but an object that names no
    namespace lands there too.
    """
    places = [(item, read(item, "metadata", "namespace")) for item in objects if kind_of(item) not in CLUSTER_SCOPED]
    one = _the_namespace(objects, [namespace for _, namespace in places])
    allowed = f'"{one}", the namespace of the stack' if one else "one namespace, named by each object"
    messages: list[str] = []
    for item, namespace in places:
        if namespace is UNKNOWN or (namespace == one and one is not None):
            continue
        if not namespace:
            messages.append(f"{title(item)}: it names no namespace; allowed: {allowed}")
        elif namespace == PROVIDERS_DEFAULT:
            messages.append(
                f'{title(item)}: it is in the namespace "{namespace}", where objects land that name none; '
                f"allowed: {allowed}"
            )
        else:
            messages.append(f'{title(item)}: it is in the namespace "{namespace}"; allowed: {allowed}')
    return messages


def _the_namespace(objects: Sequence[Object], named: Sequence[Any]) -> str | None:
    own = [read(item, "metadata", "name") for item in objects if kind_of(item) == "Namespace"]
    if len(own) == 1 and isinstance(own[0], str):
        return own[0]
    names = [name for name in named if isinstance(name, str) and name]
    if not own and names and set(names) == {PROVIDERS_DEFAULT} and len(names) == len(named):
        return PROVIDERS_DEFAULT
    counts = Counter(name for name in names if name != PROVIDERS_DEFAULT)
    # The first by name if two have the same count, so that a stack gets the same messages each time.
    return min(counts, key=lambda name: (-counts[name], name), default=None)

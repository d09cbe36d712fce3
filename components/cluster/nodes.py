"""Finds a node's address for URLs with a NodePort, and warns of nodes that have no room.

The Kubernetes provider can read a node by its name, but cannot list nodes. This module therefore asks the API server.
"""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi.output import UNKNOWN

from components.cluster.api import Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.kubeconfig import ClusterUnreachableError, KubeconfigError
from settings.general import Resources
from settings.types import amount


class NodeAddressError(Exception):
    """The API server tells no node's address. The text says why."""


async def node_host(
    configured: str | None,
    api: Api,
    *,
    node_selector: Mapping[str, str] | None = None,
    asked: Sequence[tuple[str, Resources]] = (),
) -> pulumi.Input[str]:
    """Returns the host of the stack's URLs: the configured one, else a Ready node's.

    A preview asks the cluster even for a configured host, because the engine does not tell that it could not reach the
    cluster: it then shows the changes of the program alone. The host is unknown then, unless it is configured.

    Args:
        configured: `nodeAddress`, which needs no node.
        api: the API server.
        node_selector: labels of the nodes that pods may run on.
        asked: the containers' keys in the configuration, and their requests.

    Raises:
        pulumi.RunError: `pulumi up` cannot reach the cluster, or its nodes tell no address.
    """
    preview = pulumi.runtime.is_dry_run()
    if configured is not None and not preview:
        return configured
    try:
        found = await read_node_address(api, node_selector or {}, asked)
    except ClusterUnreachableError as error:
        if not preview:
            raise pulumi.RunError(
                f"no cluster can be reached, and nothing was created: {error}\n"
                "  Name one that is running: export KUBECONFIG=<file>, or "
                "pulumi config set kubernetes:context <context>"
            ) from None
        pulumi.log.warn(
            f"the cluster cannot be reached: {error}\n"
            "This preview compares with what Pulumi remembers of the last `pulumi up`. What has changed in the cluster "
            "since then, what its API server would refuse, and whether objects of others are in the way, is not in it."
        )
        # `UNKNOWN` makes the output of an `apply` unknown, as the output of a resource would be.
        unknown = pulumi.Output.from_input("").apply(lambda _: UNKNOWN)  # pyright: ignore[reportUnknownVariableType]
        return configured or unknown  # pyright: ignore[reportReturnType]
    except (NodeAddressError, KubeconfigError) as error:
        if configured is None:
            raise pulumi.RunError(
                f"the address for the stack's URLs cannot be read from the cluster's nodes: {error}\n"
                "  Give it: pulumi config set nodeAddress <host name or IP address of a node>"
            ) from None
        return configured
    return configured or found


def rendered_host(configured: str | None, *, is_needed: bool) -> str:
    """Returns the host of the stack's URLs for a provider that writes files, and so asks no cluster.

    Args:
        configured: `nodeAddress`.
        is_needed: whether clients reach a Service of the type NodePort by it.

    Raises:
        pulumi.RunError: a host is needed, and none is configured.
    """
    if configured is None and is_needed:
        raise pulumi.RunError(
            "`kubernetes:renderYamlToDirectory` writes files and asks no cluster. The host of the stack's URLs must be "
            "configured.\n  pulumi config set nodeAddress <host name or IP address of a node>"
        )
    pulumi.log.warn(
        "`kubernetes:renderYamlToDirectory` writes Secrets in plain text: keep the files as you keep the secrets. The "
        "outputs lack NodePorts that the cluster will choose, and their URLs: `nginx.nodePort` and `tempo.nodePort` "
        "set them."
    )
    return configured or ""


async def read_node_address(
    api: Api, node_selector: Mapping[str, str] | None = None, asked: Sequence[tuple[str, Resources]] = ()
) -> str:
    """Returns the external address of a Ready node, else an internal one. Warns if no node has room for a pod.

    Raises:
        ApiUnavailableError: the API server does not answer.
        NodeAddressError: it refuses the list of nodes, or no node is Ready.
    """
    answer = await api.get("/api/v1/nodes")
    if not answer.is_ok:
        raise NodeAddressError(answer.message)
    nodes = answer.items
    ready = [node for node in nodes if _has_condition(node, "Ready")]
    _warn_of_pressure(ready)
    _warn_of_size(ready, node_selector or {}, asked)
    addresses = [address for node in ready for address in listed(node, "status", "addresses")]
    for wanted in ("ExternalIP", "InternalIP"):
        for address in addresses:
            if address.get("type") == wanted:
                return str(address["address"])
    raise NodeAddressError(f"none of its {len(nodes)} nodes is Ready and has an address")


def _has_condition(node: Object, kind: str) -> bool:
    conditions = listed(node, "status", "conditions")
    return any(condition.get("type") == kind and condition.get("status") == "True" for condition in conditions)


def _warn_of_pressure(ready: list[Object]) -> None:
    """Warns if a condition keeps new pods off every node. The engine itself only reports a time-out, minutes later."""
    full = {
        str(section(node, "metadata").get("name", "?")): kind
        for node in ready
        for kind in ("DiskPressure", "MemoryPressure", "PIDPressure")
        if _has_condition(node, kind)
    }
    if ready and len(full) == len(ready):
        named = ", ".join(f"{name} has {kind}" for name, kind in full.items())
        pulumi.log.warn(
            f"no node of the cluster takes new pods: {named}. Pods that this update needs will not start until a node "
            f"recovers; see `kubectl describe node {next(iter(full))}`"
        )


def _warn_of_size(
    ready: list[Object], node_selector: Mapping[str, str], asked: Sequence[tuple[str, Resources]]
) -> None:
    """Warns of pods that are larger than any node, or that no node may run. A cluster may still add such nodes."""
    fitting = [node for node in ready if node_selector.items() <= labels(node).items()]
    if ready and not fitting:
        selected = ", ".join(f"{key}={value}" for key, value in node_selector.items())
        pulumi.log.warn(
            f"no Ready node has the labels {selected} of `scheduling.nodeSelector`; see kubectl get nodes --show-labels"
        )
    for name in ("cpu", "memory"):
        given = [section(node, "status", "allocatable") for node in fitting]
        largest = max((quantities[name] for quantities in given if name in quantities), key=amount, default=None)
        for key, resources in asked:
            wanted = resources.cpu if name == "cpu" else resources.memory
            if largest is not None and amount(wanted) > amount(largest):
                pulumi.log.warn(
                    f"{key}.resources.{name} = {wanted} is more than any node has. The largest has {largest}: the pod "
                    f"will find no node. pulumi config set --path {key}.resources.{name} <less>"
                )

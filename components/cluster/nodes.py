"""The cluster: whether it is the stack's, and a node's address for URLs with a NodePort.

The Kubernetes provider can read a node by its name but not list them, so this asks the API server itself.
"""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi.output import UNKNOWN

from components.cluster.api import Api
from components.cluster.api_objects import Object, labels, listed, section
from components.cluster.kubeconfig import ClusterUnreachableError, KubeconfigError, comparable, read_server
from settings.general import Resources
from settings.types import amount


class NodeAddressError(Exception):
    """The API server tells no address of a node; the text says why."""


def check_cluster(expected: str | None, *, kubeconfig: str | None, context: str | None) -> None:
    """Stops before anything is changed in another cluster than the stack's.

    By the address of the API server, which the kubeconfig tells without a connection. A preview without a kubeconfig is
    not stopped, since it changes nothing.

    Args:
        expected: `cluster`; none for any.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.

    Raises:
        pulumi.RunError: the kubeconfig leads to another cluster, or to none.
    """
    if expected is None:
        return
    try:
        found = read_server(kubeconfig, context)
    except ClusterUnreachableError as error:
        if pulumi.runtime.is_dry_run():
            pulumi.log.warn(f"it was not checked that the cluster is {expected}: {error}")
            return
        raise pulumi.RunError(f"it cannot be checked that the cluster is {expected}: {error}") from None
    if comparable(found) != comparable(expected):
        named = f"the context {context}" if context else "the current context of the kubeconfig"
        raise pulumi.RunError(
            f"this is not the stack's cluster; nothing was changed.\n\n"
            f'  nginx-tracing:cluster = "{expected}"\n'
            f"    {named} leads to {found}\n"
            f"    pulumi config set kubernetes:context <a context of {expected}>\n"
            f"    or, for a stack that has no resources yet: pulumi config set cluster {found}"
        )


async def node_host(
    configured: str | None,
    api: Api,
    *,
    node_selector: Mapping[str, str] | None = None,
    asked: Sequence[tuple[str, Resources]] = (),
) -> pulumi.Input[str]:
    """The host of the stack's URLs: the configured one, else a Ready node's.

    A preview asks the cluster in any case, since the engine does not say that it could not: it shows what changes in
    the program, then, and the host is unknown unless it is configured.

    Args:
        configured: `nodeAddress`, which is taken as it is.
        api: the API server.
        node_selector: labels of the nodes that pods may run on.
        asked: keys of components, and what a pod of each asks for.

    Raises:
        pulumi.RunError: the cluster cannot be reached by `pulumi up`, or no address can be read from its nodes.
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
        # `UNKNOWN` makes the output of an `apply` unknown, as a resource's would be.
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
    """The host of the stack's URLs where the provider writes files, and no cluster is asked or needed.

    Args:
        configured: `nodeAddress`.
        is_needed: whether a Service of the type NodePort is reached by it.

    Raises:
        pulumi.RunError: none is configured, and one is needed.
    """
    if configured is None and is_needed:
        raise pulumi.RunError(
            "`kubernetes:renderYamlToDirectory` writes files and asks no cluster, so the host of the stack's URLs must "
            "be configured.\n  pulumi config set nodeAddress <host name or IP address of a node>"
        )
    pulumi.log.warn(
        "`kubernetes:renderYamlToDirectory` writes Secrets in plain text: keep the files as you keep the secrets. "
        "NodePorts that the cluster will choose, and their URLs, are not among the outputs: `nginx.nodePort` and "
        "`tempo.nodePort` set them."
    )
    return configured or ""


async def read_node_address(
    api: Api, node_selector: Mapping[str, str] | None = None, asked: Sequence[tuple[str, Resources]] = ()
) -> str:
    """The external address of a Ready node, else the internal address of one; warns where no node has room for a pod.

    Raises:
        ApiUnavailableError: the API server cannot be asked.
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
    """Names what keeps new pods off every node: all that the engine says of it, minutes later, is a time-out."""
    full = {
        str(section(node, "metadata").get("name", "?")): kind
        for node in ready
        for kind in ("DiskPressure", "MemoryPressure", "PIDPressure")
        if _has_condition(node, kind)
    }
    if ready and len(full) == len(ready):
        named = ", ".join(f"{name} has {kind}" for name, kind in full.items())
        pulumi.log.warn(
            f"no node of the cluster takes new pods: {named}. Pods that this update needs will not start before "
            f"that is over; see `kubectl describe node {next(iter(full))}`"
        )


def _warn_of_size(
    ready: list[Object], node_selector: Mapping[str, str], asked: Sequence[tuple[str, Resources]]
) -> None:
    """Names what is larger than any node, or may run on none, which a cluster that adds nodes may still solve."""
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
                    f"{key}.resources.{name} = {wanted} is more than any node gives, which is {largest} at most: the "
                    f"pod will find no node. pulumi config set --path {key}.resources.{name} <less>"
                )

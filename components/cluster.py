"""The cluster: whether it is the stack's, and a node's address for URLs with a NodePort.

The Kubernetes provider can read a node by its name but not list them, so this asks the API server itself.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pulumi
import yaml
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.resources.core_v1 import Node
from pulumi.output import UNKNOWN

CONNECT_SECONDS = 5.0


class NodeAddressError(Exception):
    """No address could be read; its text says why."""


class ClusterUnreachableError(NodeAddressError):
    """The API server did not answer, or no kubeconfig names one."""


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
    if _comparable(found) != _comparable(expected):
        named = f"the context {context}" if context else "the current context of the kubeconfig"
        raise pulumi.RunError(
            f"this is not the stack's cluster; nothing was changed.\n\n"
            f'  nginx-tracing:cluster = "{expected}"\n'
            f"    {named} leads to {found}\n"
            f"    pulumi config set kubernetes:context <a context of {expected}>\n"
            f"    or, for a stack that has no resources yet: pulumi config set cluster {found}"
        )


def read_server(kubeconfig: str | None, context: str | None) -> str:
    """The address of the API server that a kubeconfig leads to.

    Raises:
        ClusterUnreachableError: there is no usable kubeconfig.
    """
    try:
        server = read_config(kubeconfig, context).cluster.server
        _comparable(server)
    except (ConfigError, OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ClusterUnreachableError(f"no usable kubeconfig: {error}") from error
    return server


def _comparable(server: str) -> tuple[str, str | None, int | None, str]:
    url = urlsplit(server)
    return url.scheme, url.hostname, url.port or {"https": 443, "http": 80}.get(url.scheme), url.path.rstrip("/")


def node_host(configured: str | None, *, kubeconfig: str | None, context: str | None) -> pulumi.Input[str]:
    """The host of the stack's URLs: the configured one, else a Ready node's.

    A preview asks the cluster in any case, since the engine does not say that it could not: it shows what changes in
    the program, then, and the host is unknown unless it is configured.

    Args:
        configured: `nodeAddress`, which is taken as it is.
        kubeconfig: the path or the contents; none for the default file.
        context: none for the current one.

    Raises:
        pulumi.RunError: the cluster cannot be reached by `pulumi up`, or no address can be read from its nodes.
    """
    preview = pulumi.runtime.is_dry_run()
    if configured is not None and not preview:
        return configured
    try:
        found = read_node_address(kubeconfig, context)
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
            "since then, and what its API server would refuse, is not in it."
        )
        # `UNKNOWN` makes the output of an `apply` unknown, as a resource's would be.
        unknown = pulumi.Output.from_input("").apply(lambda _: UNKNOWN)  # pyright: ignore[reportUnknownVariableType]
        return configured or unknown  # pyright: ignore[reportReturnType]
    except NodeAddressError as error:
        if configured is None:
            raise pulumi.RunError(
                f"the address for the stack's URLs cannot be read from the cluster's nodes: {error}\n"
                "  Give it: pulumi config set nodeAddress <host name or IP address of a node>"
            ) from None
        return configured
    return configured or found


def read_node_address(kubeconfig: str | None, context: str | None) -> str:
    """The external address of a Ready node, else the internal address of one.

    Raises:
        ClusterUnreachableError: there is no usable kubeconfig, or no answer within five seconds.
        NodeAddressError: the API server refuses the list of nodes, or no node is Ready.
    """
    try:
        client = Client(config=read_config(kubeconfig, context), timeout=httpx2.Timeout(CONNECT_SECONDS))
        nodes = list(client.list(Node))  # pyright: ignore[reportUnknownMemberType]
    except ConfigError as error:
        raise ClusterUnreachableError(f"no usable kubeconfig: {error}") from error
    except (KeyError, AttributeError, TypeError, ValueError, httpx2.InvalidURL) as error:
        # kubectl may understand what this library does not, a newer exec plugin say.
        raise NodeAddressError(f"the kubeconfig cannot be used for it ({type(error).__name__}: {error})") from error
    except ApiError as error:
        raise NodeAddressError(str(error)) from error
    except (httpx2.HTTPError, OSError) as error:
        raise ClusterUnreachableError(str(error) or type(error).__name__) from error
    ready = [node for node in nodes if _has_condition(node, "Ready")]
    _warn_of_pressure(ready)
    addresses = [
        (address.type, address.address) for node in ready if node.status for address in node.status.addresses or []
    ]
    for wanted in ("ExternalIP", "InternalIP"):
        for kind, address in addresses:
            if kind == wanted:
                return address
    raise NodeAddressError(f"none of its {len(nodes)} nodes is Ready and has an address")


def _has_condition(node: Node, kind: str) -> bool:
    conditions = (node.status.conditions if node.status else None) or []
    return any(condition.type == kind and condition.status == "True" for condition in conditions)


def _warn_of_pressure(ready: list[Node]) -> None:
    """Names what keeps new pods off every node: all that the engine says of it, minutes later, is a time-out."""
    full = {
        (node.metadata.name if node.metadata else None) or "?": kind
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


def read_config(kubeconfig: str | None, context: str | None) -> SingleConfig:
    """The chosen context of a kubeconfig.

    Raises:
        ConfigError: no such file or context, or no YAML: then not with what is written there, a token or a password.
    """
    try:
        return _chosen(kubeconfig, context)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        raise ConfigError(f"it is no YAML from line {mark.line + 1} on" if mark else "it is no YAML") from None


def _chosen(kubeconfig: str | None, context: str | None) -> SingleConfig:
    """Reads it as kubectl and the Kubernetes provider do."""
    if kubeconfig and ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")):
        config = KubeConfig.from_dict(yaml.safe_load(kubeconfig))  # pyright: ignore[reportUnknownMemberType]
    else:
        # Several files make one configuration: of equal names the first counts.
        files = [Path(file).expanduser() for file in (kubeconfig or "~/.kube/config").split(os.pathsep) if file]
        configs = [KubeConfig.from_file(file) for file in files if file.is_file()]
        if not configs:
            raise ConfigError(f"{' and '.join(map(str, files))} cannot be read")
        wanted = context or next((each.current_context for each in configs if each.current_context), None)
        config = next((each for each in configs if wanted in each.contexts), configs[0])
        context = wanted
    chosen = config.get(context)
    if chosen is None:
        raise ConfigError("no context is chosen")
    return chosen

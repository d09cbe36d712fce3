"""The context of a stack: its namespace, and the settings that all components share."""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.core.v1 import Namespace, Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.cluster.backends import Backends
from components.cluster.findings import KUBERNETES_API_PORTS, Findings
from components.plan.labels import PART_OF, own_labels
from components.plan.objects import SECRET, SERVICE, STACK_ANNOTATION, Kind, Planned, own_mark, planned
from settings import Settings
from settings.general import Monitoring, Scheduling
from settings.registries import Login

if TYPE_CHECKING:
    # A preview does without it.
    from components.cluster.rollouts import Rollouts


@dataclass(frozen=True)
class StackContext:
    """The settings and the namespace that all components of a stack share."""

    namespace: pulumi.Output[str]
    """The namespace's name. It is known once the namespace exists."""

    namespace_name: str
    """The same name as plain text, for endpoints."""

    asks_cluster: bool
    """Whether the provider sends objects to a cluster, which chooses ports and addresses, or writes files."""

    owns_namespace: bool
    """Whether the stack makes the namespace. Nothing else is in it then."""

    host: pulumi.Input[str]
    """The host of NodePort URLs."""

    mark: str
    """The mark on its objects: the stack's name."""

    planned: Collection[Planned]
    """The objects that components may make under fixed names: the program has asked the cluster about these."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """The configuration's labels and annotations, for objects and pods. The mark is on objects only, so that it rolls
    no pod."""

    scheduling: Scheduling
    monitoring: Monitoring

    network_policies: bool

    sets_user: bool
    """Whether pods run as their image's own user. Otherwise the cluster assigns one."""

    pull_secret: pulumi.Output[str] | None
    """The name of the Secret that nodes pull images with; none if the registry asks for no password."""

    images: Mapping[str, str]
    """The image of each component, by its key in the configuration. It lacks an image that the stack builds."""

    api_ports: Sequence[int]
    """Ports of the API server's endpoints."""

    no_room_to_roll: Mapping[str, str]
    """By component, the text about the quotas that have no room for one more pod. Components with room are left out."""

    backends: Backends
    """The addresses behind the configured Services that have no pods."""

    rollouts: "Rollouts | None"
    """Tells why pods do not become Ready. None in a preview, which starts no pods."""

    def has(self, component: str) -> bool:
        """Tells whether the stack has a component."""
        return Planned(SERVICE, component) in self.planned

    def metadata(
        self,
        kind: Kind,
        component: str | None,
        name: str | None = None,
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> ObjectMetaArgs:
        """Returns the metadata of an object.

        Args:
            kind: the object's kind.
            component: the component that it belongs to; none if it belongs to all of them.
            name: its fixed name; none to have one generated, for an object that each edit replaces.
            annotations: its own annotations, besides the configuration's and the mark.
            labels: its own labels, besides the configuration's and the component's.

        Raises:
            LookupError: the fixed name is not planned, and the check of ownership would miss the object.
        """
        if name is not None and Planned(kind, name) not in self.planned:
            raise LookupError(f"{kind.name} {name} is missing in components/plan/objects.py")
        return ObjectMetaArgs(
            name=name,
            namespace=self.namespace,
            labels={**self.labels, **(labels or {}), **(own_labels(component) if component else PART_OF)},
            annotations={**self.annotations, **(annotations or {}), STACK_ANNOTATION: self.mark},
        )


def stack_context(
    settings: Settings,
    host: pulumi.Input[str],
    prefix: str = "",
    *,
    findings: Findings | None = None,
    backends: Backends | None = None,
    rollouts: "Rollouts | None" = None,
    asks_cluster: bool = True,
) -> StackContext:
    """Makes the namespace and the pull secret, as far as the configuration asks for them, and returns the context.

    Args:
        settings: the configuration.
        host: the host of NodePort URLs.
        prefix: the beginning of the resources' names, for a program with several stacks of components.
        findings: the cluster's answers; none if the program did not ask it.
        backends: the addresses behind the configured Services that have no pods.
        rollouts: tells why pods do not become Ready.
        asks_cluster: whether the provider sends objects to a cluster, or writes files.
    """
    findings = findings or Findings()
    api_port = settings.collector.kubernetes_api_port
    mark = own_mark()
    namespace = (
        _restricted_namespace(settings, mark, prefix).metadata["name"]
        if settings.create_namespace
        else pulumi.Output.from_input(settings.namespace)
    )
    stack = StackContext(
        namespace=namespace,
        namespace_name=settings.namespace,
        asks_cluster=asks_cluster,
        owns_namespace=settings.create_namespace,
        host=host,
        mark=mark,
        planned=frozenset(planned(settings)),
        labels=settings.labels,
        annotations=settings.annotations,
        scheduling=settings.scheduling,
        monitoring=settings.monitoring,
        network_policies=settings.network_policies,
        sets_user=settings.pod_user == "image",
        pull_secret=None,
        images=settings.images(),
        api_ports=[api_port] if api_port else sorted({*KUBERNETES_API_PORTS, *findings.api_ports}),
        no_room_to_roll=findings.no_room_to_roll,
        backends=backends or Backends(),
        rollouts=rollouts,
    )
    return replace(stack, pull_secret=_pull_secret(settings, stack, prefix))


def _restricted_namespace(settings: Settings, mark: str, prefix: str) -> Namespace:
    """Makes the stack's namespace, which refuses pods that violate the *restricted* Pod Security Standard."""
    standard = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "v1.32"))
    }
    # The provider waits ten minutes for the end of the pods by default, which is too short for those that drain.
    end = f"{600 + max(settings.collector.queue.drain_seconds, settings.tempo.drain_seconds)}s"
    return Namespace(
        f"{prefix}namespace",
        metadata=ObjectMetaArgs(
            name=settings.namespace,
            labels={**settings.labels, **PART_OF, **standard},
            annotations={**settings.annotations, STACK_ANNOTATION: mark},
        ),
        opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(delete=end)),
    )


def _pull_secret(settings: Settings, stack: StackContext, prefix: str) -> pulumi.Output[str] | None:
    logins = {login.registry: _docker_login(login) for login in settings.pull_logins()}
    if not logins:
        return None
    secret = Secret(
        f"{prefix}registry",
        metadata=stack.metadata(SECRET, None),
        type="kubernetes.io/dockerconfigjson",
        string_data=pulumi.Output.secret({".dockerconfigjson": json.dumps({"auths": logins})}),
    )
    return secret.metadata["name"]


def _docker_login(login: Login) -> dict[str, str]:
    password = login.password.get_secret_value()
    both = base64.b64encode(f"{login.username}:{password}".encode()).decode()
    return {"username": login.username, "password": password, "auth": both}

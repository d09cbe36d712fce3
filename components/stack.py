"""What every component of a stack is given: its namespace, and what holds for all objects."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Namespace, Secret
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from settings import Settings
from settings.general import Monitoring, Scheduling
from settings.stack import NAME_LABEL, PART_OF_LABEL, Login

NGINX = "nginx"
COLLECTOR = "otel-collector"
TEMPO = "tempo"
"""The components: the names of their objects, and what their pods are selected by."""

PART_OF = {PART_OF_LABEL: "nginx-tracing"}
"""What every object of a stack is labelled with."""


@dataclass(frozen=True)
class StackContext:
    """What holds for all components of a stack."""

    namespace: pulumi.Output[str]
    """The namespace's name, known once it exists."""

    namespace_name: str
    """The same as plain text, for endpoints."""

    host: pulumi.Input[str]
    """The host of NodePort URLs."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    scheduling: Scheduling
    monitoring: Monitoring

    network_policies: bool

    pull_secret: pulumi.Output[str] | None
    """The name of the Secret with which images are pulled."""

    images: Mapping[str, str]
    """The image of each component, by its key in the configuration; not one that is built."""

    def metadata(
        self,
        component: str,
        name: str | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> ObjectMetaArgs:
        """Metadata of an object: auto-named without a name, for objects whose every edit makes a new one."""
        return ObjectMetaArgs(
            name=name,
            namespace=self.namespace,
            labels={**self.labels, **own_labels(component)},
            annotations={**self.annotations, **(annotations or {})} or None,
        )


def own_labels(component: str) -> dict[str, str]:
    """The labels of a component's objects that selectors are made of."""
    return {NAME_LABEL: component, **PART_OF}


def stack_context(settings: Settings, host: pulumi.Input[str], prefix: str = "") -> StackContext:
    """Makes the namespace, and the pull secret where the registry asks for a password.

    Args:
        settings: the configuration.
        host: the host of NodePort URLs.
        prefix: what the names of its resources begin with, for a program with several stacks of components.
    """
    namespace = _restricted_namespace(settings, prefix).metadata["name"]
    return StackContext(
        namespace=namespace,
        namespace_name=settings.namespace,
        host=host,
        labels=settings.labels,
        annotations=settings.annotations,
        scheduling=settings.scheduling,
        monitoring=settings.monitoring,
        network_policies=settings.network_policies,
        pull_secret=_pull_secret(settings, namespace, prefix),
        images=settings.images(),
    )


def _restricted_namespace(settings: Settings, prefix: str) -> Namespace:
    """The stack's namespace, which refuses pods that violate the *restricted* Pod Security Standard."""
    standard = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", "v1.32"))
    }
    return Namespace(
        f"{prefix}namespace",
        metadata=ObjectMetaArgs(
            name=settings.namespace,
            labels={**settings.labels, **PART_OF, **standard},
            annotations=settings.annotations or None,
        ),
    )


def _pull_secret(settings: Settings, namespace: pulumi.Output[str], prefix: str) -> pulumi.Output[str] | None:
    logins = {login.registry: _docker_login(login) for login in settings.pull_logins()}
    if not logins:
        return None
    secret = Secret(
        f"{prefix}registry",
        metadata=ObjectMetaArgs(
            namespace=namespace,
            labels={**settings.labels, **PART_OF},
            annotations=settings.annotations or None,
        ),
        type="kubernetes.io/dockerconfigjson",
        string_data=pulumi.Output.secret({".dockerconfigjson": json.dumps({"auths": logins})}),
    )
    return secret.metadata["name"]


def _docker_login(login: Login) -> dict[str, str]:
    password = login.password.get_secret_value()
    both = base64.b64encode(f"{login.username}:{password}".encode()).decode()
    return {"username": login.username, "password": password, "auth": both}

"""The base of the components."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kubernetes.stack import StackContext
from components.plan.objects import Kind


class Component(pulumi.ComponentResource):
    """A part of the stack: pods of one kind, and the objects that they need.

    Pulumi names the objects after the component's resource, so that a program can have a component twice. Kubernetes
    names them after the component, once in a namespace.
    """

    component: str
    """The component's name, which its Kubernetes objects have."""

    selects: str
    """The name whose labels select its pods: the component's, except for Tempo's ingesters."""

    stack: StackContext
    """The settings and the namespace that all components share."""

    policies: list[pulumi.Resource]
    """The network policies of its pods; empty if the configuration turns policies off."""

    def __init__(
        self,
        token: str,
        name: str,
        component: str,
        stack: StackContext,
        opts: pulumi.ResourceOptions | None,
        *,
        selects: str | None = None,
    ) -> None:
        super().__init__(token, name, None, opts)
        self.component = component
        self.selects = selects or component
        self.stack = stack
        self.policies = []

    @property
    def resource_name(self) -> str:
        """The name of its resource, which the names of its objects' resources begin with."""
        return self.pulumi_resource_name

    @property
    def own(self) -> pulumi.ResourceOptions:
        """The options of an object that belongs to it."""
        return pulumi.ResourceOptions(parent=self)

    def metadata(
        self,
        kind: Kind,
        *,
        is_auto_named: bool = False,
        suffix: str = "",
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> ObjectMetaArgs:
        """Returns the metadata of one of its objects, under the component's name.

        Args:
            kind: the object's kind.
            is_auto_named: whether the name is generated, so that each edit makes a new object.
            suffix: what follows the component's name.
            annotations: the object's own annotations.
            labels: the object's own labels.
        """
        name = None if is_auto_named else f"{self.component}{suffix}"
        return self.stack.metadata(kind, self.component, name, annotations, labels)

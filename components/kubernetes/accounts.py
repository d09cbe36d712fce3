"""Makes the accounts of pods that ask the API server, and of pods that a cloud knows."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ServiceAccount

from components.kubernetes.component import Component
from components.plan.objects import ROLE, ROLE_BINDING, SERVICE_ACCOUNT


def pod_reader(owner: Component, also: Sequence[tuple[str, str]] = ()) -> pulumi.Output[str]:
    """Makes an account that may read the pods of the namespace, and of no other. Returns its name.

    Args:
        owner: the component.
        also: other kinds that it may read: API group and plural.
    """
    # Imported here: each group of the Kubernetes SDK takes a part of a second, and few stacks need this one.
    from pulumi_kubernetes.rbac.v1 import (  # noqa: PLC0415
        PolicyRuleArgs,
        Role,
        RoleBinding,
        RoleRefArgs,
        SubjectArgs,
    )

    name = owner.resource_name
    account = _account(owner)
    role = Role(
        name,
        metadata=owner.metadata(ROLE),
        rules=[
            PolicyRuleArgs(api_groups=[group], resources=[plural], verbs=["get", "list", "watch"])
            for group, plural in (("", "pods"), *also)
        ],
        opts=owner.own,
    )
    binding = RoleBinding(
        name,
        metadata=owner.metadata(ROLE_BINDING),
        role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata["name"]),
        subjects=[SubjectArgs(kind="ServiceAccount", name=account.metadata["name"], namespace=owner.stack.namespace)],
        opts=owner.own,
    )
    # The name is known once the account has its rights: without them the pods would end at once.
    return pulumi.Output.all(account.metadata["name"], binding.id).apply(lambda known: str(known[0]))


def account_of_cloud(owner: Component, annotations: Mapping[str, str]) -> pulumi.Output[str]:
    """Makes an account without any right in the cluster, which a cloud gives an identity. Returns its name.

    Args:
        owner: the component.
        annotations: those by which the cloud finds the identity.
    """
    return _account(owner, annotations).metadata["name"]


def _account(owner: Component, annotations: Mapping[str, str] | None = None) -> ServiceAccount:
    return ServiceAccount(
        owner.resource_name,
        metadata=owner.metadata(SERVICE_ACCOUNT, annotations=annotations),
        automount_service_account_token=False,
        opts=owner.own,
    )

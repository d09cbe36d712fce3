"""Gives Tempo's pods what they need to reach a bucket: keys from a Secret, or an account that the cloud knows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import (
    EnvVarArgs,
    EnvVarSourceArgs,
    SecretKeySelectorArgs,
    VolumeArgs,
    VolumeMountArgs,
)

from components.documents.tempo_storage import SECRETS_FOLDER, StorageAccess
from components.kubernetes.accounts import account_of_cloud
from components.kubernetes.component import Component
from components.kubernetes.files import secret_object, secret_volume

_VOLUME = "storage-secrets"


@dataclass(frozen=True)
class StorageParts:
    """Parts of the pods that reach the bucket."""

    environment: Sequence[EnvVarArgs] = ()
    """Variables of Tempo's containers."""

    volumes: Sequence[VolumeArgs] = ()
    mounts: Sequence[VolumeMountArgs] = ()
    """Where Tempo's containers have the volumes."""

    account: pulumi.Output[str] | None = None
    """The service account that the cloud knows; none if Tempo has a key."""


def storage_parts(owner: Component, access: StorageAccess) -> StorageParts:
    """Makes the Secret with the keys, and the service account, as far as the bucket needs them.

    Args:
        owner: the component. One that runs several workloads makes the parts once.
        access: what the containers need.
    """
    plain = [EnvVarArgs(name=name, value=value) for name, value in access.plain_variables.items()]
    account = account_of_cloud(owner, access.account_annotations) if access.has_account else None
    if not access.has_secrets:
        return StorageParts(environment=plain, account=account)
    secret = secret_object(owner, {**access.variables, **access.files}, "storage")
    name = secret.metadata["name"]
    secrets = [
        EnvVarArgs(name=key, value_from=EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=name, key=key)))
        for key in access.variables
    ]
    if not access.files:
        return StorageParts(environment=[*plain, *secrets], account=account)
    return StorageParts(
        [*plain, *secrets],
        [secret_volume(secret, _VOLUME)],
        [VolumeMountArgs(name=_VOLUME, mount_path=SECRETS_FOLDER, read_only=True)],
        account,
    )

"""Puts files into pods: from ConfigMaps, from Secrets, and empty folders to write to."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    EmptyDirVolumeSourceArgs,
    Secret,
    SecretVolumeSourceArgs,
    VolumeArgs,
)

from components.kubernetes.component import Component
from components.plan.objects import CONFIG_MAP, SECRET


def config_object(owner: Component, files: Mapping[str, str]) -> ConfigMap:
    """Makes a ConfigMap of documents for a component's pods. Auto-named: an edit makes a new object and rolls the pods.

    Args:
        owner: the component.
        files: the documents by file name.
    """
    return ConfigMap(
        f"{owner.resource_name}-config",
        metadata=owner.metadata(CONFIG_MAP, is_auto_named=True),
        data=files,
        opts=owner.own,
    )


def secret_object(owner: Component, files: Mapping[str, str], name: str = "secrets") -> Secret:
    """Makes a Secret of documents for a component's pods, encrypted in the stack's state. Auto-named as well.

    Args:
        owner: the component.
        files: the documents by file name.
        name: what follows the component's name in the resource's.
    """
    return Secret(
        f"{owner.resource_name}-{name}",
        metadata=owner.metadata(SECRET, is_auto_named=True),
        string_data=pulumi.Output.secret(dict(files)),
        opts=owner.own,
    )


def config_volume(config_map: ConfigMap) -> VolumeArgs:
    """Returns the volume `config`, which has a ConfigMap's documents."""
    return VolumeArgs(name="config", config_map=ConfigMapVolumeSourceArgs(name=config_map.metadata["name"]))


def secret_volume(secret: Secret, name: str = "secrets") -> VolumeArgs:
    """Returns a volume that has a Secret's documents. The group that the pod runs as can read them."""
    return VolumeArgs(name=name, secret=SecretVolumeSourceArgs(secret_name=secret.metadata["name"], default_mode=0o440))


def empty_volume(name: str) -> VolumeArgs:
    """Returns an empty volume, which ends with the pod."""
    return VolumeArgs(name=name, empty_dir=EmptyDirVolumeSourceArgs())

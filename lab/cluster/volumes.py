"""Makes the lab's persistent volumes ahead, as folders of the node: a provisioner would need images with a shell.

A volume that was claimed once is not claimed again: it keeps its data until `lab down`, or until measurements begin.
"""

from typing import Any

import yaml

from lab.cluster.network import NODE_NAME
from lab.paths import STATE

FOLDER = STATE / "volumes"
STORAGE_CLASS = "lab"
"""The cluster's default class."""

SMALL_STORAGE_CLASS = "lab-small"
"""The class of volumes that are soon full, whatever size a claim asks for."""

SMALL_MEBIBYTES = 48
_VOLUMES = 96
_SMALL_VOLUMES = 6


def small_folders() -> list[str]:
    """Returns the folders of which the node gives each a file system of `SMALL_MEBIBYTES`."""
    return [str(FOLDER / f"{SMALL_STORAGE_CLASS}-{number}") for number in range(_SMALL_VOLUMES)]


def make_folders() -> None:
    """Makes the volumes' folders."""
    for storage_class, number in _all():
        (FOLDER / f"{storage_class}-{number}").mkdir(parents=True, exist_ok=True)


def manifest() -> str:
    """Returns the StorageClasses and the volumes as a manifest."""
    classes = [_storage_class(STORAGE_CLASS, default=True), _storage_class(SMALL_STORAGE_CLASS, default=False)]
    return yaml.safe_dump_all([*classes, *(_volume(storage_class, number) for storage_class, number in _all())])


def _all() -> list[tuple[str, int]]:
    counts = ((STORAGE_CLASS, _VOLUMES), (SMALL_STORAGE_CLASS, _SMALL_VOLUMES))
    return [(storage_class, number) for storage_class, count in counts for number in range(count)]


def _storage_class(name: str, *, default: bool) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(storage_class: str, number: int) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{storage_class}-{number}"},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(FOLDER / f"{storage_class}-{number}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }

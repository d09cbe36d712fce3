"""Warns of a change of `tempo.storage` after which Tempo no longer finds the traces that it has."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self, cast

import pulumi
import yaml

from components.cluster.api import Api
from components.cluster.api_objects import Object, listed, section
from components.cluster.kubeconfig import ApiUnavailableError
from components.plan.labels import TEMPO, own_labels, selector
from components.plan.objects import CONFIG_MAP, DEPLOYMENT, STATEFUL_SET
from settings import Settings
from settings.tempo_storage import TempoStorage


@dataclass(frozen=True)
class _Place:
    """Where blocks are."""

    type: str
    account: str = ""
    bucket: str = ""
    prefix: str = ""
    server: str = ""
    """The host and port of the maker's server; none for Google's and Azure's own."""

    @classmethod
    def configured(cls, storage: TempoStorage) -> Self:
        """Returns the place that a configuration names."""
        server = storage.url if storage.type == "s3" else storage.endpoint
        return cls(
            storage.type, storage.account or "", storage.bucket or "", storage.prefix or "", _authority(server or "")
        )

    @classmethod
    def of(cls, document: Object) -> Self | None:
        """Reads it from Tempo's document, of this or an earlier version of the program; None if it is none."""
        kind = section(document, "storage", "trace").get("backend")
        part = section(document, "storage", "trace", str(kind))
        if kind not in {"local", "s3", "gcs", "azure"}:
            return None

        def text(*keys: str) -> str:
            return next((str(part[key]) for key in keys if key in part), "")

        return cls(
            str(kind),
            text("storage_account_name"),
            text("bucket", "bucket_name", "container_name"),
            text("prefix"),
            _authority(text("endpoint", "endpoint_suffix")),
        )

    def __str__(self) -> str:
        if self.type == "local":
            return "Tempo's own disk"
        kind = "container" if self.type == "azure" else "bucket"
        path = "/".join(filter(None, (self.account, self.bucket, self.prefix)))
        return f"the {kind} {path}{f' of {self.server}' if self.server else ''}"


def _authority(url: str) -> str:
    return url.rsplit("://", maxsplit=1)[-1].split("/", maxsplit=1)[0]


async def warn_of_hidden_traces(settings: Settings, api: Api) -> None:
    """Warns if Tempo has traces in another place than the one that it would read.

    Args:
        settings: the configuration.
        api: the API server. If it does not answer, or does not tell, other checks say so.
    """
    if not settings.tempo.enabled:
        return
    try:
        before = await _running(settings, api)
    except ApiUnavailableError:
        return
    after = _Place.configured(settings.tempo.storage)
    if before and before != after:
        pulumi.log.warn(
            f"tempo.storage: Tempo's blocks are in another place: {before}. It will read {after} alone, and will not "
            "find the traces that it has until their blocks are copied. docs/how-to/store-traces-in-a-bucket.md, "
            '"Move from the disk to a bucket", has the commands: some come before this update'
        )


async def _running(settings: Settings, api: Api) -> _Place | None:
    """Returns where the running Tempo's blocks outlive its pods; None without one, or if they do not."""
    of_tempo = selector(own_labels(TEMPO))
    sets, deployments = await asyncio.gather(
        *(api.get(kind.path(settings.namespace), labelSelector=of_tempo) for kind in (STATEFUL_SET, DEPLOYMENT))
    )
    for workload in (*sets.items, *deployments.items):
        volumes = listed(workload, "spec", "template", "spec", "volumes")
        names = [section(volume, "configMap").get("name") for volume in volumes]
        config = next((name for name in names if name), None)
        if config is None:
            continue
        answer = await api.get(f"{CONFIG_MAP.path(settings.namespace)}/{config}")
        place = _Place.of(_document(answer.body)) if answer.is_ok else None
        keeps = place is not None and (place.type != "local" or bool(listed(workload, "spec", "volumeClaimTemplates")))
        return place if keeps else None
    return None


def _document(config_map: Object) -> Object:
    try:
        read: Any = yaml.safe_load(str(section(config_map, "data").get("tempo.yaml", "")))
    except yaml.YAMLError:
        return {}
    return cast("Object", read) if isinstance(read, dict) else {}

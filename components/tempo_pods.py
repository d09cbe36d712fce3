"""The pods of Tempo: one process, or one of its parts, each with a gateway before its HTTP port."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    LifecycleArgs,
    ObjectFieldSelectorArgs,
    VolumeArgs,
    VolumeMountArgs,
)

from components.documents.tempo import DATA, OTLP_PORT
from components.documents.tempo_gateway import CONF_FILE, FOLDER, INSIDE_PORT, PASSWORD_FOLDER, PUBLIC_PORT
from components.documents.tempo_metrics import CONFIG_FOLDER, SECRETS_FOLDER
from components.documents.tempo_parts import GRPC_PORT, POD_ADDRESS, arguments
from components.kubernetes.containers import (
    alive_while,
    container_security,
    go_memory_limit,
    ready_when,
    resources,
    started_when,
    stop_after,
)
from components.kubernetes.exposure import PORT_NAME
from components.kubernetes.files import empty_volume
from components.kubernetes.monitoring import Metrics
from components.kubernetes.pod_template import Workload
from components.kubernetes.stack import StackContext
from components.plan.labels import TEMPO
from components.plan.pods import GATEWAY
from components.tempo_storage import StorageParts
from settings import TempoSettings
from settings.general import Resources
from settings.tempo_parts import DISTRIBUTOR, INGESTER, METRICS_GENERATOR, QUERY_FRONTEND

METRICS = Metrics("metrics", INSIDE_PORT)
OTLP, GRPC = "otlp-grpc", "grpc"
"""The names of the receiver's port, and of the port by which parts reach each other."""

GRACE_SECONDS = 15
"""Tempo goes on taking spans for 2 s (`final_sleep`), then writes them to its disk within 1 s. Completing a block may
take longer: if the kubelet cuts it off, Tempo completes the block at its next start. Meanwhile spans wait in the
Collector."""

FLUSH_SECONDS = 120
"""The grace period with a bucket and no volume: the disk ends with the pod, so Tempo uploads before what is on it.
Our choice: a block of 500 MB, the largest, takes 100 s at 5 MB/s."""

DELAY_SECONDS = 5
"""Senders and clients learn of the other pods before this one stops listening. As for the Collector."""

PART_SECONDS = 30
"""Kubernetes' default: a querier ends its queries, and the generator writes what it has counted. A Tempo that answered
a query shortly before may take all of it."""

USER = 10001
"""The image's own user."""

START_SECONDS = 3600
"""Our choice: only a start that never ends is begun again. /ready is 503 while Tempo replays its write-ahead log, which
takes long after a long time on a full volume. A smaller limit would restart a Tempo that was about to be Ready."""


@dataclass(frozen=True)
class TempoPods:
    """Holds what Tempo's pods are made of."""

    settings: TempoSettings
    stack: StackContext
    volumes: Sequence[VolumeArgs]
    """Those of all pods: the documents, and folders to write to."""

    storage: StorageParts
    """Holds what reaches the bucket."""

    pod_labels: Mapping[str, str]
    """Labels by which a cloud knows the pods that reach the bucket."""

    password: VolumeArgs | None
    """The volume with the password of the read API; none if it asks for none."""

    metrics_secrets: VolumeArgs | None
    """The volume with the headers of remote write; none without any."""

    def one_process(self, *, depends_on: Sequence[pulumi.Input[pulumi.Resource]]) -> Workload:
        """Returns the pod of a monolithic Tempo."""
        settings = self.settings
        uploads = settings.storage.is_remote and settings.persistence.size is None
        return self._workload(
            None, settings.resources, FLUSH_SECONDS if uploads else GRACE_SECONDS, depends_on=depends_on
        )

    def part(
        self,
        part: str,
        own: Resources,
        *,
        replicas: int,
        autoscaled: bool = False,
        zone: str | None = None,
        depends_on: Sequence[pulumi.Input[pulumi.Resource]],
    ) -> Workload:
        """Returns the pods of a part.

        Args:
            part: its name.
            own: the resources of its container.
            replicas: the number of pods.
            autoscaled: whether an autoscaler sets it later.
            zone: the zone of ingesters; none if copies do not depend on zones.
            depends_on: what must be there first: the network policies, and what its pods look for.
        """
        drain = self.settings.drain_seconds if part == INGESTER else 0
        made = self._workload(part, own, drain or PART_SECONDS, zone, depends_on=depends_on)
        return replace(made, replicas=replicas, autoscaled=autoscaled, over_zones=True, zone=zone, drain_seconds=drain)

    def _workload(
        self,
        part: str | None,
        own: Resources,
        grace_seconds: int,
        zone: str | None = None,
        *,
        depends_on: Sequence[pulumi.Input[pulumi.Resource]],
    ) -> Workload:
        reaches_bucket = part != DISTRIBUTOR
        storage = self.storage if reaches_bucket else StorageParts()
        password = self.password if part in (None, QUERY_FRONTEND) else None
        secrets = self.metrics_secrets if part in (None, METRICS_GENERATOR) else None
        has_volume = self.settings.persistence.size is not None and part in (None, INGESTER, METRICS_GENERATOR)
        volumes = [
            *self.volumes,
            *([password] if password else []),
            *([secrets] if secrets else []),
            *([] if has_volume else [empty_volume("data")]),
            *storage.volumes,
        ]
        return Workload(
            [
                self._tempo(part, own, storage, zone, has_secrets=secrets is not None),
                self._gateway(part, has_password=password is not None),
            ],
            volumes,
            USER,
            METRICS,
            grace_seconds,
            identity=storage.account,
            labels=self.pod_labels if reaches_bucket else {},
            depends_on=depends_on,
        )

    def _tempo(
        self, part: str | None, own: Resources, storage: StorageParts, zone: str | None, *, has_secrets: bool
    ) -> ContainerArgs:
        mounts = [
            VolumeMountArgs(name="config", mount_path=CONFIG_FOLDER, read_only=True),
            VolumeMountArgs(name="data", mount_path=DATA),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108 - in the container
            *storage.mounts,
        ]
        if has_secrets:
            mounts.append(VolumeMountArgs(name="metrics-secrets", mount_path=SECRETS_FOLDER, read_only=True))
        return ContainerArgs(
            name=TEMPO,
            image=self.stack.images["tempo"],
            args=[f"-config.file={CONFIG_FOLDER}/tempo.yaml", *(arguments(part, zone) if part else [])],
            env=[go_memory_limit(own), *storage.environment, *([_pod_address()] if part else [])],
            ports=[ContainerPortArgs(name=name, container_port=port) for name, port in _ports(part).items()],
            resources=resources(own),
            security_context=container_security(),
            # The probes go through the gateway: Tempo listens on the pod's loopback address.
            startup_probe=started_when("/ready", INSIDE_PORT, within_seconds=START_SECONDS),
            readiness_probe=ready_when("/ready", INSIDE_PORT),
            # A Tempo that was Ready stays unready for ever after its ingester or another part has ended, and goes on
            # answering: after /shutdown, for example. A minute of that is no pause. A query-frontend is unready without
            # queriers as well, and a restart brings none.
            liveness_probe=alive_while("/metrics" if part == QUERY_FRONTEND else "/ready", INSIDE_PORT),
            lifecycle=_delay(part),
            volume_mounts=mounts,
        )

    def _gateway(self, part: str | None, *, has_password: bool) -> ContainerArgs:
        mounts = [
            # A single file, because the folder also holds files of the image.
            VolumeMountArgs(
                name="config", mount_path=f"{FOLDER}/{CONF_FILE}", sub_path=f"gateway-{CONF_FILE}", read_only=True
            ),
            VolumeMountArgs(name="gateway-tmp", mount_path="/tmp"),  # noqa: S108 - in the container
        ]
        if has_password:
            mounts.append(VolumeMountArgs(name="secrets", mount_path=PASSWORD_FOLDER, read_only=True))
        # The clients' Service finds its pods by this port's name. Other parts than the frontends answer no query.
        public = [ContainerPortArgs(name=PORT_NAME, container_port=PUBLIC_PORT)]
        return ContainerArgs(
            name=GATEWAY,
            image=self.stack.images["gateway"],
            ports=[
                *(public if part in (None, QUERY_FRONTEND) else []),
                ContainerPortArgs(name=METRICS.port_name, container_port=METRICS.port),
            ],
            resources=resources(self.settings.gateway.resources),
            security_context=container_security(),
            readiness_probe=ready_when("/healthz", INSIDE_PORT),
            liveness_probe=alive_while("/healthz", INSIDE_PORT),
            lifecycle=_delay(part) if part == QUERY_FRONTEND else None,
            volume_mounts=mounts,
        )


def _ports(part: str | None) -> dict[str, int]:
    if part is None:
        return {OTLP: OTLP_PORT}
    return {OTLP: OTLP_PORT, GRPC: GRPC_PORT} if part == DISTRIBUTOR else {GRPC: GRPC_PORT}


def _delay(part: str | None) -> LifecycleArgs | None:
    return stop_after(DELAY_SECONDS) if part in (DISTRIBUTOR, QUERY_FRONTEND) else None


def _pod_address() -> EnvVarArgs:
    source = EnvVarSourceArgs(field_ref=ObjectFieldSelectorArgs(field_path="status.podIP"))
    return EnvVarArgs(name=POD_ADDRESS, value_from=source)

"""Grafana Tempo, the backend that keeps and finds traces, behind a gateway that allows only to read them."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes.core.v1 import ServicePortArgs, VolumeArgs
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs, NetworkPolicyIngressRuleArgs
from pydantic import SecretStr

from components.documents import Document, dump
from components.documents.tempo import OTLP_PORT, tempo_document
from components.documents.tempo_gateway import (
    CONF_FILE,
    INSIDE_PORT,
    PASSWORD_FILE,
    PUBLIC_PORT,
    USER_NAME,
    gateway_conf,
    password_file,
)
from components.documents.tempo_metrics import Writes, has_generator, receiver
from components.documents.tempo_parts import GOSSIP_PORT, GRPC_PORT, parts_document
from components.documents.tempo_storage import StorageAccess
from components.kubernetes.component import Component
from components.kubernetes.exposure import clients, expose
from components.kubernetes.files import config_object, config_volume, empty_volume, secret_object, secret_volume
from components.kubernetes.monitoring import pod_monitor
from components.kubernetes.network import from_anywhere, from_component, network_policy, to_component, to_dns, to_hosts
from components.kubernetes.services import Endpoint, service
from components.kubernetes.stack import StackContext
from components.kubernetes.workload import pods_with
from components.plan.labels import COLLECTOR, DECIDER, RECEIVER, RING, TEMPO, part_labels
from components.tempo_parts import TempoPart, part_policy
from components.tempo_pods import GRPC, METRICS, OTLP, TempoPods
from components.tempo_storage import storage_parts
from components.tempo_zones import ingesters_of
from settings import TempoSettings
from settings.tempo_parts import COMPACTOR, DISTRIBUTOR, INGESTER, METRICS_GENERATOR, QUERIER, QUERY_FRONTEND

USAGE_REPORT = ("stats.grafana.org", 443)
"""Where Tempo sends its usage statistics."""

_HEADLESS = {"gossip": GOSSIP_PORT, GRPC: GRPC_PORT}
"""The ports of the headless Services, by their names."""


class TempoBackend(Component):
    """A Tempo with OTLP inside the cluster. Clients read its traces through a gateway in its pod.

    A monolithic one keeps traces on the pod's own disk, which ends with the pod, on a volume, or in a bucket. There is
    no second replica: each replica would know a part of the newest traces.

    A distributed one keeps them on the volumes of its ingesters, and in a bucket. The ingesters are the StatefulSet of
    a monolithic one, with its name, its labels and its volumes, so that a change of the mode keeps what is on the first
    volume. Each other part is a component of its own.
    """

    otlp_endpoint: Endpoint
    """Where Tempo receives spans, OTLP over gRPC without TLS."""

    http_endpoint: Endpoint
    """The gateway's read API, for the stack's own pods."""

    url: pulumi.Output[str] | None
    """Tempo's read API for clients: `/api/search`, `/api/traces/<trace ID>`. Known after `publish`."""

    node_port: pulumi.Output[int] | None
    """The port on every node; none with ClusterIP. Known after `publish`."""

    user: str | None
    """The user whose password the read API asks for; none if it asks for none."""

    def __init__(
        self,
        name: str,
        settings: TempoSettings,
        stack: StackContext,
        *,
        password: SecretStr | None = None,
        writes: Writes | None = None,
        access: StorageAccess | None = None,
        prometheus: Endpoint | None = None,
        readers: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Makes the config objects, the workload and the Service of the receiver.

        Args:
            name: the resource's name.
            settings: Tempo's settings.
            stack: the settings and the namespace that all components share.
            password: the read API's password; none to let everybody read who reaches the API.
            writes: a receiver of metrics of spans that is not the stack's; none without one.
            access: what the container needs to reach a bucket; none without one.
            prometheus: the stack's own Prometheus; none without one.
            readers: the stack's components that read traces, besides the clients that the settings allow.
            opts: the usual options.
        """
        ingesters = part_labels(INGESTER) if settings.is_distributed else None
        super().__init__("nginx-tracing:index:TempoBackend", name, TEMPO, stack, opts, selects=ingesters)
        self._settings, self._writes, self._access = settings, writes or Writes(), access or StorageAccess()
        self._receivers = [*([receiver(f"http://{prometheus}")] if prometheus else []), *self._writes.receivers]
        self._prometheus, self._readers = prometheus, readers
        self._sender = DECIDER if stack.has(DECIDER) else COLLECTOR
        self.user = USER_NAME if password else None
        # A Service of its own: Kubernetes would open each port of the clients' Service on the nodes.
        receives, answers = self._at(DISTRIBUTOR), self._at(QUERY_FRONTEND)
        self.otlp_endpoint = Endpoint(receives, stack.namespace_name, OTLP_PORT, f"{TEMPO}{RECEIVER}")
        self.http_endpoint = Endpoint(answers, stack.namespace_name, PUBLIC_PORT, TEMPO)
        pods = self._pods(password)
        self._first: dict[str, pulumi.Input[pulumi.CustomResource]] = {}
        if settings.is_distributed:
            self._make_parts(pods)
        else:
            self._make_one_process(pods)
        pod_monitor(self, METRICS)
        ports = [ServicePortArgs(name=OTLP, port=OTLP_PORT, target_port=OTLP)]
        # A Service that led to a monolithic Tempo still leads there until the distributors are Ready.
        service(self, ports, suffix=RECEIVER, leads_to=receives, after=self._waited(DISTRIBUTOR))

    def _at(self, part: str) -> str:
        """Returns the name whose labels select the pods of a part, or those of the one process."""
        return part_labels(part) if self._settings.is_distributed else TEMPO

    def _make_one_process(self, pods: TempoPods) -> None:
        ingress = [*self._from_clients(), from_anywhere(INSIDE_PORT), from_component(self._sender, OTLP_PORT)]
        egress = self._egress(reaches_bucket=True, writes_metrics=True)
        self.policies = network_policy(self, ingress=ingress, egress=[*([to_dns()] if egress else []), *egress])
        volume, workload = self._settings.persistence, pods.one_process(depends_on=self.policies)
        pods_with(self, workload, "data", size=volume.size, storage_class=volume.storage_class)

    def _make_parts(self, pods: TempoPods) -> None:
        parts = self._settings.parts(makes_metrics=has_generator(self._settings, self._receivers))
        running, answers = list(parts), part_labels(QUERY_FRONTEND)
        del parts[INGESTER]
        ring, queries = (ServicePortArgs(name=name, port=port) for name, port in _HEADLESS.items())
        # Before the pods: a resolver that knew no such name would say so for half a minute.
        names = [
            service(self, [ring], suffix=RING, is_headless=True, has_unready=True),
            service(self, [queries], suffix=f"-{QUERY_FRONTEND}", leads_to=answers, is_headless=True, has_unready=True),
        ]
        bucket = self._egress(reaches_bucket=True, writes_metrics=False)
        self.policies = part_policy(self, INGESTER, running=running, ingress=[], egress=bucket)
        holders = ingesters_of(self, self._settings.ingester, pods, after=[*self.policies, *names])
        from_others = {DISTRIBUTOR: [from_component(self._sender, OTLP_PORT)], QUERY_FRONTEND: self._from_clients()}
        # A Tempo that ends writes what it holds to the bucket. Parts that start after that list it at their start, and
        # not minutes later (`blocklist_poll`): first a compactor, then those that read its list.
        before_reading: list[pulumi.Input[pulumi.Resource]] = [*holders]
        for part in sorted(parts, key=lambda part: part != COMPACTOR):
            made = TempoPart(
                part,
                parts[part],
                self.stack,
                pods,
                running=running,
                after=[*names, *(before_reading if part in (COMPACTOR, QUERIER, QUERY_FRONTEND) else ())],
                ingress=from_others.get(part, []),
                egress=self._egress(reaches_bucket=part != DISTRIBUTOR, writes_metrics=part == METRICS_GENERATOR),
                opts=self.own,
            )
            self.policies += made.policies
            if part == COMPACTOR:
                before_reading.append(made.pods)
            if part in from_others:
                self._first[part] = made.pods

    def _pods(self, password: SecretStr | None) -> TempoPods:
        files = {
            "tempo.yaml": dump(self._document()),
            f"gateway-{CONF_FILE}": gateway_conf(has_password=password is not None),
            **self._writes.certificates,
            **self._access.certificates,
        }
        volumes = [config_volume(config_object(self, files)), empty_volume("tmp"), empty_volume("gateway-tmp")]
        secret: VolumeArgs | None = None
        if password:
            line = password_file(password.get_secret_value(), salt_of=self.stack.namespace_name)
            secret = secret_volume(secret_object(self, {PASSWORD_FILE: line}))
        headers: VolumeArgs | None = None
        if self._writes.secrets:
            headers = secret_volume(secret_object(self, self._writes.secrets, "metrics"), "metrics-secrets")
        storage = storage_parts(self, self._access)
        return TempoPods(self._settings, self.stack, volumes, storage, self._access.pod_labels, secret, headers)

    def _document(self) -> Document:
        if not self._settings.is_distributed:
            return tempo_document(self._settings, self._receivers)
        ring, queries = (
            str(Endpoint(TEMPO, self.stack.namespace_name, port, f"{TEMPO}{suffix}"))
            for suffix, port in ((RING, GOSSIP_PORT), (f"-{QUERY_FRONTEND}", GRPC_PORT))
        )
        cluster = f"{self.stack.mark}/{self.stack.namespace_name}"
        return parts_document(self._settings, self._receivers, cluster=cluster, ring=ring, query_frontend=queries)

    def publish(self, *, after: Sequence[pulumi.Input[pulumi.Resource]]) -> None:
        """Makes the Service that clients read traces by, and registers the outputs.

        Args:
            after: the Collector's pods. The pods of an earlier version send spans by this Service, which has lost its
                port for that. Pulumi therefore updates it after the new pods are Ready.
        """
        exposed = expose(
            self,
            self._settings.service,
            port=PUBLIC_PORT,
            node_port=self._settings.node_port,
            after=[*after, *self._waited(QUERY_FRONTEND)],
            leads_to=self.http_endpoint.component,
        )
        self.url, self.node_port = exposed.url, exposed.node_port
        self.register_outputs({"otlp_endpoint": str(self.otlp_endpoint), "url": self.url, "node_port": self.node_port})

    def _waited(self, part: str) -> list[pulumi.Input[pulumi.Resource]]:
        return [self._first[part]] if part in self._first else []

    def _from_clients(self) -> list[NetworkPolicyIngressRuleArgs]:
        service_settings = self._settings.service
        inside: Sequence[str] = self._readers if service_settings.is_restricted else ()
        return [
            *clients(service_settings, PUBLIC_PORT),
            *(from_component(reader, PUBLIC_PORT) for reader in inside),
        ]

    def _egress(self, *, reaches_bucket: bool, writes_metrics: bool) -> list[NetworkPolicyEgressRuleArgs]:
        writes, own = self._writes, self._prometheus
        hosts = [
            *([writes.host] if writes.host and writes_metrics else []),
            *((*self._access.hosts, *self.stack.backends.tempo) if reaches_bucket else ()),
            *([USAGE_REPORT] if self._settings.usage_report else []),
        ]
        return [
            *to_hosts(hosts, self.stack.namespace_name),
            *([to_component(own.component, own.port)] if own and writes_metrics else []),
        ]

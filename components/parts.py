"""Makes the parts of a stack that the configuration asks for, and connects them by their endpoints."""

from collections.abc import Sequence
from typing import Any

import pulumi

from components import closing
from components.demo import DemoService, demo_services
from components.documents.demo import expected_trace
from components.documents.tempo_metrics import writes
from components.documents.tempo_storage import storage_access
from components.grafana import Grafana, GrafanaFiles, Reads
from components.kubernetes import network
from components.kubernetes.component import Component
from components.kubernetes.stack import StackContext
from components.nginx import NginxOtel, licensed_plus
from components.nginx_plus_image import nginx_plus_image
from components.otel_collector import OtelCollector
from components.plan.labels import GRAFANA
from components.prometheus import Prometheus
from components.tempo import TempoBackend
from settings import Settings
from settings.limits import are_weighed, exports
from settings.sampling import kept


def make_prometheus(settings: Settings, stack: StackContext) -> Prometheus | None:
    """Makes the stack's own Prometheus."""
    if not settings.prometheus.enabled:
        return None
    return Prometheus("prometheus", settings.prometheus, stack, readers=_readers(settings))


def make_tempo(settings: Settings, stack: StackContext, prometheus: Prometheus | None) -> TempoBackend | None:
    """Makes the stack's own Tempo, which writes metrics to its Prometheus."""
    if not settings.tempo.enabled:
        return None
    return TempoBackend(
        "tempo",
        settings.tempo,
        stack,
        password=settings.tempo_password,
        writes=writes(settings.metrics, settings.metrics_headers),
        access=storage_access(settings),
        prometheus=prometheus.http_endpoint if prometheus else None,
        readers=_readers(settings),
    )


def make_deciders(settings: Settings, stack: StackContext, tempo: TempoBackend | None) -> OtelCollector | None:
    """Makes the second tier of Collectors, which decides about whole traces."""
    if not settings.collector.enabled or not settings.collector.has_tiers:
        return None
    return OtelCollector(
        "otel-collector-decider",
        settings.collector,
        stack,
        backend=tempo.otlp_endpoint if tempo else None,
        exports=exports(settings),
        backends=stack.backends.collector,
        decides=True,
    )


def make_collector(
    settings: Settings, stack: StackContext, tempo: TempoBackend | None, deciders: OtelCollector | None
) -> OtelCollector | None:
    """Makes the Collector, and then the Service by which clients read Tempo: `TempoBackend.publish` says why then."""
    collector = None
    if settings.collector.enabled:
        collector = OtelCollector(
            "otel-collector",
            settings.collector,
            stack,
            backend=tempo.otlp_endpoint if tempo else None,
            exports=exports(settings),
            backends=stack.backends.collector,
            demo=settings.demo.services,
            deciders=deciders,
        )
    if tempo:
        tempo.publish(after=_pods(collector))
    return collector


def make_demo(settings: Settings, stack: StackContext, collector: OtelCollector | None) -> Sequence[DemoService]:
    """Makes the demo's services, the first on a request's way first."""
    if not settings.demo.enabled or not collector:
        return []
    return demo_services(settings, stack, exporter=collector.otlp_endpoint, after=_pods(collector))


def make_nginx(
    settings: Settings, stack: StackContext, collector: OtelCollector | None, demo: Sequence[DemoService]
) -> NginxOtel:
    """Makes NGINX, and before it the image of NGINX Plus if the stack builds one."""
    return NginxOtel(
        "nginx",
        settings.nginx,
        stack,
        image=nginx_plus_image("nginx-plus", settings).reference if settings.builds_image else stack.images["nginx"],
        exporter=collector.otlp_endpoint if collector else None,
        after=[*_pods(collector), *(service.reachable for service in demo)],
        plus=licensed_plus(settings),
        kept=kept(settings.collector),
        backends=stack.backends.nginx,
        demo=demo[0].endpoint if demo else None,
    )


def make_grafana(
    settings: Settings, stack: StackContext, tempo: TempoBackend | None, prometheus: Prometheus | None
) -> Grafana | None:
    """Makes a Grafana that reads the stack's Tempo, or the files for one that is there."""
    if not tempo:
        return None
    reads = Reads(
        tempo.http_endpoint,
        settings.tempo_password,
        prometheus.http_endpoint if prometheus else None,
        has_stable_names=settings.collector.writes_stable_names_alone,
        are_weighed=are_weighed(settings),
    )
    grafana = None
    if settings.grafana.enabled and settings.grafana_password:
        grafana = Grafana("grafana", settings.grafana, stack, reads, password=settings.grafana_password)
    if settings.grafana.provision:
        GrafanaFiles("grafana-files", settings.grafana, stack, reads)
    return grafana


def close(stack: StackContext, parts: Sequence[Component | None]) -> None:
    """Closes the namespace to all that no part's policy allows, and says how to check what was deployed."""
    made = [part for part in parts if part]
    network.deny_all(stack, after=[policy for part in made for policy in part.policies])
    closing.tell_how_to_check(
        after=[part.pods for part in made if isinstance(part, OtelCollector | DemoService | NginxOtel)],
        has_tempo=any(isinstance(part, TempoBackend) for part in made),
        asks_cluster=stack.asks_cluster,
    )


def outputs(
    settings: Settings,
    stack: StackContext,
    *,
    tempo: TempoBackend | None,
    nginx: NginxOtel,
    grafana: Grafana | None,
    demo: Sequence[DemoService],
) -> pulumi.Inputs:
    """Returns the stack's outputs, without those of parts that are left out or that only a cluster would choose."""
    found: dict[str, pulumi.Input[str] | pulumi.Input[int] | dict[str, Any] | None] = {
        "nginxUrl": nginx.url,
        "nginxNodePort": nginx.node_port,
        "tempoUrl": tempo.url if tempo else None,
        "tempoNodePort": tempo.node_port if tempo else None,
        "tempoUser": tempo.user if tempo else None,
        "grafanaUrl": grafana.url if grafana else None,
        "namespace": stack.namespace,
        "edition": settings.edition,
        "nginxImage": nginx.image,
        "demo": expected_trace(settings) if demo else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _readers(settings: Settings) -> list[str]:
    """Returns the stack's components that read what Tempo and Prometheus keep."""
    return [GRAFANA] if settings.grafana.enabled else []


def _pods(collector: OtelCollector | None) -> list[pulumi.Input[pulumi.Resource]]:
    """Returns what waits for the Collector's pods."""
    return [collector.pods] if collector else []

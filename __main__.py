"""The stack: settings → namespace → Prometheus → Tempo → Collector → NGINX → Grafana → outputs."""

from components import startup

startup.prepare()

from typing import Any

import pulumi

import settings as configuration
from components.plan.labels import GRAFANA
from components.target import stack_in_cluster
from settings.limits import are_weighed, exports
from settings.sampling import kept


async def main() -> pulumi.Inputs:
    """Checks the configuration and the cluster, then registers the stack and returns its outputs.

    Raises:
        pulumi.RunError: the configuration or the cluster has errors. Nothing was registered.
    """
    settings = configuration.load()
    stack = await stack_in_cluster(settings, configuration.cluster_access())
    await startup.import_components()
    from components.closing import tell_how_to_check
    from components.demo import demo_services
    from components.documents.demo import expected_trace
    from components.documents.tempo_metrics import writes
    from components.grafana import Grafana, GrafanaFiles, Reads
    from components.kubernetes.network import deny_all
    from components.nginx import NginxOtel, licensed_plus
    from components.nginx_plus_image import nginx_plus_image
    from components.otel_collector import OtelCollector
    from components.prometheus import Prometheus
    from components.tempo import TempoBackend

    password = settings.tempo_password
    readers = [GRAFANA] if settings.grafana.enabled else []
    own = settings.prometheus
    prometheus = Prometheus("prometheus", own, stack, readers=readers) if own.enabled else None
    tempo = (
        TempoBackend(
            "tempo",
            settings.tempo,
            stack,
            password=password,
            writes=writes(settings.metrics, settings.metrics_headers),
            prometheus=prometheus.http_endpoint if prometheus else None,
            readers=readers,
        )
        if settings.tempo.enabled
        else None
    )
    collector = (
        OtelCollector(
            "otel-collector",
            settings.collector,
            stack,
            backend=tempo.otlp_endpoint if tempo else None,
            exports=exports(settings),
            backends=stack.backends.collector,
            demo=settings.demo.services,
        )
        if settings.collector.enabled
        else None
    )
    if tempo:
        tempo.publish(after=[collector.pods] if collector else [])
    demo = (
        demo_services(settings, stack, exporter=collector.otlp_endpoint, after=[collector.pods])
        if settings.demo.enabled and collector
        else []
    )
    nginx = NginxOtel(
        "nginx",
        settings.nginx,
        stack,
        image=nginx_plus_image("nginx-plus", settings).reference if settings.builds_image else stack.images["nginx"],
        exporter=collector.otlp_endpoint if collector else None,
        after=[*([collector.pods] if collector else []), *(service.reachable for service in demo)],
        plus=licensed_plus(settings),
        kept=kept(settings.collector),
        backends=stack.backends.nginx,
        demo=demo[0].endpoint if demo else None,
    )
    reads = (
        Reads(
            tempo.http_endpoint,
            password,
            prometheus.http_endpoint if prometheus else None,
            has_stable_names=settings.collector.writes_stable_names_alone,
            are_weighed=are_weighed(settings),
        )
        if tempo
        else None
    )
    grafana = None
    if reads and settings.grafana.enabled and settings.grafana_password:
        grafana = Grafana("grafana", settings.grafana, stack, reads, password=settings.grafana_password)
    if reads and settings.grafana.provision:
        GrafanaFiles("grafana-files", settings.grafana, stack, reads)
    parts = (prometheus, tempo, collector, *demo, nginx, grafana)
    deny_all(stack, after=[policy for part in parts if part for policy in part.policies])
    tell_how_to_check(
        after=[part.pods for part in (collector, *demo, nginx) if part],
        has_tempo=tempo is not None,
        asks_cluster=stack.asks_cluster,
    )
    outputs: dict[str, pulumi.Input[str] | pulumi.Input[int] | dict[str, Any] | None] = {
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
    # Without outputs of parts that are left out, or that only a cluster would choose and none is asked.
    return {name: value for name, value in outputs.items() if value is not None}


pulumi.run(main)

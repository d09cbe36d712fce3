"""The stack: settings → namespace → Tempo → Collector → NGINX → outputs."""

import gc

# Nothing that is imported is ever garbage. Looking for garbage among it, during the imports and at the end of the
# program, took 0.3 s of each command's 2.3 s.
gc.disable()

import pulumi

import settings as configuration
from components.cluster import check_cluster, node_host
from components.network import deny_all
from components.nginx import NginxOtel, licensed_plus
from components.nginx_plus_image import nginx_plus_image
from components.otel_collector import OtelCollector
from components.stack import stack_context
from components.tempo import TempoBackend

gc.freeze()
gc.enable()

settings = configuration.load()
cluster = configuration.cluster_access()
check_cluster(settings.cluster, kubeconfig=cluster.kubeconfig, context=cluster.context)
host = node_host(settings.node_address, kubeconfig=cluster.kubeconfig, context=cluster.context)

stack = stack_context(settings, host)
tempo = TempoBackend("tempo", settings.tempo, stack) if settings.tempo.enabled else None
backend = tempo.otlp_endpoint if tempo else None
export_spans = settings.nginx.exporter.batch_size
collector = (
    OtelCollector("otel-collector", settings.collector, stack, backend=backend, export_spans=export_spans)
    if settings.collector.enabled
    else None
)
exporter = collector.otlp_endpoint if collector else None
plus = licensed_plus(settings)
image = nginx_plus_image("nginx-plus", settings).reference if settings.builds_image else stack.images["nginx"]
nginx = NginxOtel("nginx", settings.nginx, stack, image=image, exporter=exporter, plus=plus)
deny_all(stack, after=[policy for component in (tempo, collector, nginx) if component for policy in component.policies])

pulumi.export("nginxUrl", nginx.url)
pulumi.export("nginxNodePort", nginx.node_port)
if tempo:
    pulumi.export("tempoUrl", tempo.url)
    pulumi.export("tempoNodePort", tempo.node_port)
pulumi.export("namespace", stack.namespace)
pulumi.export("edition", settings.edition)
pulumi.export("nginxImage", nginx.image)

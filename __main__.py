"""The stack: settings → namespace → Tempo → Collector → NGINX → outputs."""

import pulumi

import settings as configuration
from components.kubernetes import restricted_namespace
from components.nginx import NginxOtel
from components.nodes import node_host
from components.otel_collector import OtelCollector
from components.tempo import TempoBackend

settings = configuration.load()
cluster = configuration.cluster_access()
host = node_host(settings.node_address, kubeconfig=cluster.kubeconfig, context=cluster.context)

namespace = restricted_namespace(settings.namespace).metadata["name"]
tempo = TempoBackend("tempo", settings.tempo, namespace=namespace, namespace_name=settings.namespace, host=host)
collector = OtelCollector(
    "otel-collector",
    settings.collector,
    namespace=namespace,
    namespace_name=settings.namespace,
    backend=tempo.otlp_endpoint,
)
nginx = NginxOtel("nginx", settings.nginx, namespace=namespace, exporter=collector.otlp_endpoint, host=host)

pulumi.export("nginxUrl", nginx.url)
pulumi.export("tempoUrl", tempo.url)
pulumi.export("nginxNodePort", nginx.node_port)
pulumi.export("tempoNodePort", tempo.node_port)
pulumi.export("namespace", namespace)
pulumi.export("edition", settings.edition)
pulumi.export("nginxImage", nginx.image)

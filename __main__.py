"""The stack: settings → namespace → Tempo → Collector → NGINX → outputs."""

import asyncio
import gc
import signal
import threading
from importlib import import_module

# Nothing that is imported is ever garbage, and the program ends within seconds. Looking for garbage, during the imports
# and at the program's end, took 0.3 s of each command's 2.3 s.
gc.disable()

# The engine interrupts the program when a resource failed, as the terminal does at Ctrl-C. Python would answer with a
# traceback, under which the reason is lost, and wait five seconds for the engine, which waits for it. An inline program
# of the Automation API runs in a thread of another program, whose signals these are.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import pulumi

import settings as configuration
from components.cluster import check_cluster, node_host
from components.stack import stack_context


async def main() -> pulumi.Inputs:
    """Registers the stack, once everything that can be checked is; returns its outputs.

    Raises:
        pulumi.RunError: the configuration or the cluster is not what it should be; nothing was registered.
    """
    settings = configuration.load()
    cluster = configuration.cluster_access()
    check_cluster(settings.cluster, kubeconfig=cluster.kubeconfig, context=cluster.context)
    host = node_host(settings.node_address, kubeconfig=cluster.kubeconfig, context=cluster.context)

    stack = stack_context(settings, host)
    # The engine takes 0.2 s to start the provider for the namespace; the imports that are left are made meanwhile.
    await asyncio.to_thread(import_module, "components.nginx")
    from components.backends import outside_pods
    from components.network import deny_all
    from components.nginx import NginxOtel, licensed_plus
    from components.nginx_plus_image import nginx_plus_image
    from components.otel_collector import OtelCollector
    from components.tempo import TempoBackend

    gc.freeze()

    tempo = TempoBackend("tempo", settings.tempo, stack) if settings.tempo.enabled else None
    backend = tempo.otlp_endpoint if tempo else None
    backends = outside_pods(settings, kubeconfig=cluster.kubeconfig, context=cluster.context)
    export_spans = settings.nginx.exporter.batch_size
    collector = (
        OtelCollector(
            "otel-collector",
            settings.collector,
            stack,
            backend=backend,
            export_spans=export_spans,
            backends=backends.collector,
        )
        if settings.collector.enabled
        else None
    )
    exporter = collector.otlp_endpoint if collector else None
    plus = licensed_plus(settings)
    image = nginx_plus_image("nginx-plus", settings).reference if settings.builds_image else stack.images["nginx"]
    nginx = NginxOtel(
        "nginx", settings.nginx, stack, image=image, exporter=exporter, plus=plus, backends=backends.nginx
    )
    components = (tempo, collector, nginx)
    deny_all(stack, after=[policy for component in components if component for policy in component.policies])

    return {
        "nginxUrl": nginx.url,
        "nginxNodePort": nginx.node_port,
        **({"tempoUrl": tempo.url, "tempoNodePort": tempo.node_port} if tempo else {}),
        "namespace": stack.namespace,
        "edition": settings.edition,
        "nginxImage": nginx.image,
    }


pulumi.run(main)

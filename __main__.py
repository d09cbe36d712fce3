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
from components.target import stack_in_cluster
from settings.limits import exports


async def main() -> pulumi.Inputs:
    """Registers the stack, once everything that can be checked is; returns its outputs.

    Raises:
        pulumi.RunError: the configuration or the cluster is not what it should be; nothing was registered.
    """
    settings = configuration.load()
    cluster = configuration.cluster_access()
    stack = await stack_in_cluster(
        settings,
        kubeconfig=cluster.kubeconfig,
        context=cluster.context,
        renders=cluster.renders,
        applies=cluster.applies,
    )
    # The engine takes 0.2 s to start the provider for the namespace; the imports that are left are made meanwhile.
    await asyncio.to_thread(import_module, "components.nginx")
    from components.closing import tell_how_to_check
    from components.kubernetes.network import deny_all
    from components.nginx import NginxOtel, licensed_plus
    from components.nginx_plus_image import nginx_plus_image
    from components.otel_collector import OtelCollector
    from components.tempo import TempoBackend

    gc.freeze()

    password = settings.tempo_password
    tempo = TempoBackend("tempo", settings.tempo, stack, password=password) if settings.tempo.enabled else None
    backend = tempo.otlp_endpoint if tempo else None
    collector = (
        OtelCollector(
            "otel-collector",
            settings.collector,
            stack,
            backend=backend,
            exports=exports(settings),
            backends=stack.backends.collector,
        )
        if settings.collector.enabled
        else None
    )
    if tempo:
        tempo.publish(after=[collector.pods] if collector else [])
    exporter, pods = (collector.otlp_endpoint, collector.pods) if collector else (None, None)
    plus = licensed_plus(settings)
    image = nginx_plus_image("nginx-plus", settings).reference if settings.builds_image else stack.images["nginx"]
    nginx = NginxOtel(
        "nginx",
        settings.nginx,
        stack,
        image=image,
        exporter=exporter,
        after=pods,
        plus=plus,
        backends=stack.backends.nginx,
    )
    components = (tempo, collector, nginx)
    deny_all(stack, after=[policy for component in components if component for policy in component.policies])

    tell_how_to_check(after=[part.pods for part in (collector, nginx) if part], has_tempo=tempo is not None)

    outputs: dict[str, pulumi.Input[str] | pulumi.Input[int] | None] = {
        "nginxUrl": nginx.url,
        "nginxNodePort": nginx.node_port,
        "tempoUrl": tempo.url if tempo else None,
        "tempoNodePort": tempo.node_port if tempo else None,
        "tempoUser": tempo.user if tempo else None,
        "namespace": stack.namespace,
        "edition": settings.edition,
        "nginxImage": nginx.image,
    }
    # Without those of what the configuration leaves out, or a cluster that is not asked would choose.
    return {name: value for name, value in outputs.items() if value is not None}


pulumi.run(main)

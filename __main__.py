"""The stack: settings → namespace → Prometheus → Tempo → Collector → demo → NGINX → Grafana → outputs."""

from components import startup

startup.prepare()

import pulumi

import settings as configuration
from components.target import stack_in_cluster


async def main() -> pulumi.Inputs:
    """Checks the configuration and the cluster, then registers the stack and returns its outputs.

    Raises:
        pulumi.RunError: the configuration or the cluster has errors. Nothing was registered.
    """
    settings = configuration.load()
    stack = await stack_in_cluster(settings, configuration.cluster_access())
    await startup.import_components()
    from components import parts

    prometheus = parts.make_prometheus(settings, stack)
    tempo = parts.make_tempo(settings, stack, prometheus)
    deciders = parts.make_deciders(settings, stack, tempo)
    collector = parts.make_collector(settings, stack, tempo, deciders)
    demo = parts.make_demo(settings, stack, collector)
    nginx = parts.make_nginx(settings, stack, collector, demo)
    grafana = parts.make_grafana(settings, stack, tempo, prometheus)
    parts.close(stack, [prometheus, tempo, deciders, collector, *demo, nginx, grafana])
    return parts.outputs(settings, stack, tempo=tempo, nginx=nginx, grafana=grafana, demo=demo)


pulumi.run(main)

"""Programs to compare with: an empty one, one with a single object, and one with many of our components."""

from pathlib import Path

from tools.lab_stack import Stack

EMPTY = ""

ONE_NAMESPACE = """\
import pulumi_kubernetes as k8s

k8s.core.v1.Namespace("namespace", metadata={"name": "tracing-bench-one"})
"""

INSTANCES = '''\
"""The components of `__main__.py` a number of times, each time in a namespace of its own."""

import pulumi

import settings as configuration
from components.nginx import NginxOtel
from components.otel_collector import OtelCollector
from components.kubernetes.stack import stack_context
from components.tempo import TempoBackend
from settings.limits import exports

for number in range(pulumi.Config("bench").require_int("instances")):
    settings = configuration.load().model_copy(update={"namespace": f"tracing-bench-{number}"})
    stack = stack_context(settings, "node", prefix=f"{number}-")
    tempo = TempoBackend(f"tempo-{number}", settings.tempo, stack)
    collector = OtelCollector(
        f"otel-collector-{number}",
        settings.collector,
        stack,
        backend=tempo.otlp_endpoint,
        exports=exports(settings),
    )
    image = stack.images["nginx"]
    NginxOtel(f"nginx-{number}", settings.nginx, stack, image=image, exporter=collector.otlp_endpoint, plus=None)
'''


def another(folder: Path, program: str) -> Stack:
    """Lays out a stack of another program, in the same way as this one."""
    stack = Stack.lay_out(folder, "bench", "tracing-bench")
    (folder / "__main__.py").write_text(program)
    return stack

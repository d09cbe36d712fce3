"""Runs answers of `python -m tools size` on the lab, and compares what they predict with what happens there.

This measures CPU time, so nothing else runs meanwhile. Prediction and measurement may differ by 30 %: the issue's bar.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.progress import Progress
from tests.lab.conftest import deploy, laid_out
from tests.waiting import wait_for
from tools.lab_stack import Stack
from tools.measure.cost.processes import processes, usage, wait_until_idle
from tools.measure.faults.counted import counter_of
from tools.measure.traffic import Traffic
from tools.probe.names import TEMPO_METRICS_PORT
from tools.size.arguments import read
from tools.size.figures import figures
from tools.size.plan import Plan, plan

# `make test` has the unit tests of the command. This compares its figures with the whole stack, two minutes each.
pytestmark = [pytest.mark.alone, pytest.mark.deep]

NAMESPACE = "tracing-size"
SECONDS = 30
WITHIN = 0.3
COPIES, SPANS = 2, 2
"""Blocks have each trace twice, as in `tools/measure/cost/stored.py`, and a trace has two spans."""

# A server of NGINX's own pod is the upstream, and makes no spans itself.
PROXIED = {
    "routes": [{"path": "/", "upstream": "localhost:8099"}],
    "extraConfig": {"http": "server { listen 127.0.0.1:8099; access_log off; return 200 ok; }"},
}


@dataclass(frozen=True)
class Seen:
    """What happened on the lab."""

    spans_a_second: float
    span_bytes: float
    collector_cpu: float
    tempo_cpu: float
    """CPU seconds of a million spans."""

    stored: float
    """Bytes of a span in blocks."""


@pytest.fixture(scope="module")
def vegeta(lab: None, request: pytest.FixtureRequest) -> None:
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build([VEGETA], Progress())


@pytest.mark.parametrize(("rate", "text"), [(500, 0), (2000, 0), (1000, 400)])
def test_the_lab_uses_what_an_answer_predicts(vegeta: None, rate: int, text: int, tmp_path: Path) -> None:
    answer = plan(read({"requests": str(rate), "retention": "1h", "headroom": "0"}), figures())
    with laid_out(tmp_path / "program", "size", NAMESPACE, cpu=None) as stack:
        write(stack, answer)
        seen = run(stack, rate, text)
    known = figures()
    millions = seen.spans_a_second / 1e6
    predicted = {
        "Collector's CPU": known.collector_cores(seen.spans_a_second, seen.span_bytes) / millions,
        "Tempo's CPU": known.tempo_cores(seen.spans_a_second, seen.span_bytes) / millions,
        "bytes on the disk": known.stored(seen.span_bytes),
    }
    measured = {
        "Collector's CPU": seen.collector_cpu,
        "Tempo's CPU": seen.tempo_cpu,
        "bytes on the disk": seen.stored,
    }
    compared = {name: f"{measured[name]:.1f} instead of {value:.1f}" for name, value in predicted.items()}
    print(f"{rate}/s, {seen.span_bytes:.0f} bytes: {compared}")
    for name, value in predicted.items():
        assert measured[name] == pytest.approx(value, rel=WITHIN), compared


def write(stack: Stack, answer: Plan) -> None:
    """Writes an answer into a stack's file, with a way to an upstream, and with blocks that end within the test."""
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    document = yaml.safe_load(file.read_text())
    changed = {"nginx": PROXIED, "tempo": {"flush": {"maxBlockDuration": "20s"}}}
    for component in ("nginx", "collector", "tempo"):
        key = f"nginx-tracing:{component}"
        document["config"][key] = merged(document["config"][key], answer.configuration[component])
        document["config"][key] = merged(document["config"][key], changed.get(component, {}))
    file.write_text(yaml.safe_dump(document))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Returns two configurations in one: the second wins."""
    both = dict(base)
    for key, value in over.items():
        inner = both.get(key)
        is_group = isinstance(inner, dict) and isinstance(value, dict)
        both[key] = merged(cast("dict[str, Any]", inner), cast("dict[str, Any]", value)) if is_group else value
    return both


def run(stack: Stack, rate: int, text: int) -> Seen:
    """Deploys a stack, sends to it, and waits until Tempo has written all spans to blocks."""
    outputs = deploy(stack)
    blocks = next(processes(NAMESPACE, "tempo")) / "root/var/tempo/blocks"
    wait_until_idle(NAMESPACE)
    before = {component: usage(NAMESPACE, component).cpu_seconds for component in ("otel-collector", "tempo")}
    started = counters(stack)
    with Traffic(outputs["nginxUrl"], rate, text=text) as traffic:
        time.sleep(SECONDS)
    sent = traffic.sent
    assert not sent.failed, sent.reasons()
    wait_for("the spans in Tempo", lambda: counters(stack)[0] - started[0] >= SPANS * sent.count, seconds=30)
    received, size = (after - first for after, first in zip(counters(stack), started, strict=True))
    # The metrics generator closes a block after a minute.
    wait_for("the blocks", lambda: traces(blocks) >= COPIES * sent.count, seconds=150)
    millions = received / 1e6
    used = {component: usage(NAMESPACE, component).cpu_seconds - cpu for component, cpu in before.items()}
    stored = sum(file.stat().st_size for block in written(blocks) for file in block.iterdir())
    return Seen(
        received / SECONDS,
        size / received,
        used["otel-collector"] / millions,
        used["tempo"] / millions,
        # Traces from before the traffic, such as that of the first look, are in the blocks too.
        stored / traces(blocks) * COPIES / SPANS,
    )


def counters(stack: Stack) -> tuple[int, int]:
    """Returns the spans and the bytes that Tempo has received."""
    names = ("tempo_distributor_spans_received_total", "tempo_distributor_bytes_received_total")
    spans, size = (counter_of(stack, "tempo", TEMPO_METRICS_PORT, name) for name in names)
    return spans, size


def written(folder: Path) -> Iterator[Path]:
    """Yields the blocks that no compaction has replaced."""
    return (meta.parent for meta in folder.glob("*/*/meta.json"))


def traces(folder: Path) -> int:
    """Returns the traces in all blocks, each of which is in two."""
    return sum(json.loads((block / "meta.json").read_text())["totalObjects"] for block in written(folder))

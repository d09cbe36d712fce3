"""Times Pulumi's commands beside those of kubectl for the same objects, and beside smaller programs."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tools.lab_bucket import KEYS, Bucket
from tools.lab_stack import Stack, ephemeral
from tools.measure.cost.programs import EMPTY, ONE_NAMESPACE, another
from tools.measure.cost.timings import Timings, seconds
from tools.measure.faults.buckets import DISTRIBUTED
from tools.measure.faults.inject import must
from tools.measure.results import Result

ROUNDS = 5
PREVIEW_ROUNDS = 10
PART_ROUNDS = 3
"""Our choice."""

PREVIEW_RATIO = 1.3
"""The aim for a preview: at most 1.3 times the preview of a single Namespace."""

_NEW, _UNCHANGED = "the whole program, everything new", "the whole program, nothing to do"
_ALL = "with Prometheus, Grafana and the demo, everything new"
_ONE = "a program with one Namespace"
NAMESPACE = "tracing-bench"
BEYOND_ONE_NODE = DISTRIBUTED | {
    "collector.sampling.tail.replicas": "3",
    **{f"{part}.autoscaling.maxReplicas": "4" for part in ("nginx", "collector", "tempo.distributor", "tempo.querier")},
}
"""Tempo in parts, Collectors in two tiers, and all autoscalers, none of which acts: the lab has no metrics-server."""


def commands(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Times each command on an empty cluster that has the images, and then with nothing to do."""
    stack = Stack.lay_out(scratch / "program", "bench", NAMESPACE)
    empty = another(scratch / "empty", EMPTY)
    timings = Timings("kubectl apply + wait")
    try:
        for number in range(ROUNDS):
            show(f"round {number + 1} of {ROUNDS}")
            timings.add("pulumi up", seconds(stack.up))
            timings.add("pulumi up, nothing to do", seconds(stack.up))
            timings.add("pulumi up, an empty program", seconds(empty.up))
            document = yaml.safe_dump_all(rendered(json.loads(stack.must("stack", "export"))))
            stack.must("destroy", "--yes", "--skip-preview")
            timings.add("kubectl apply + wait", seconds(lambda document=document: _apply(document)))
            timings.add(
                "kubectl diff, nothing to do",
                seconds(lambda document=document: must("diff", "--filename=-", text=document)),
            )
            must("delete", "namespace", NAMESPACE)
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")
    return timings.results()


def previews(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Times previews of the whole program beside previews of smaller ones."""
    new = Stack.lay_out(scratch / "new", "bench", f"{NAMESPACE}-new")
    stack = Stack.lay_out(scratch / "deployed", "bench", NAMESPACE)
    every = Stack.lay_out(scratch / "every", "bench", f"{NAMESPACE}-every")
    enabled = {f"{part}.enabled": "true" for part in ("prometheus", "grafana", "demo")}
    every.configure(enabled, {"grafanaPassword": "a-password-of-a-preview"})
    one = another(scratch / "one", ONE_NAMESPACE)
    empty = another(scratch / "nothing", EMPTY)
    timings = Timings(_ONE)
    try:
        stack.up()
        for number in range(PREVIEW_ROUNDS):
            show(f"round {number + 1} of {PREVIEW_ROUNDS}")
            timings.add(_NEW, seconds(lambda: new.must("preview")))
            timings.add(_UNCHANGED, seconds(lambda: stack.must("preview")))
            timings.add(_ALL, seconds(lambda: every.must("preview")))
            timings.add(_ONE, seconds(lambda: one.must("preview")))
            timings.add("an empty program", seconds(lambda: empty.must("preview")))
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")
    return timings.results({_NEW: PREVIEW_RATIO, _UNCHANGED: PREVIEW_RATIO})


def every_part(scratch: Path, show: Callable[[str], None]) -> list[Result]:
    """Times the first preview and the first `pulumi up` of the default stack, and of one that is beyond one node."""
    bucket = Bucket(scratch / "s3")
    first, *_ = names = ("the default stack", "the stack in parts")
    previewed, deployed = Timings(f"preview, {first}"), Timings(f"pulumi up, {first}")
    with (
        bucket.served(),
        ephemeral(scratch / "default", NAMESPACE) as default,
        ephemeral(scratch / "parts", f"{NAMESPACE}-parts", bucket.configuration | BEYOND_ONE_NODE, KEYS) as parts,
    ):
        for number in range(PART_ROUNDS):
            show(f"round {number + 1} of {PART_ROUNDS}")
            for name, stack in zip(names, (default, parts), strict=True):
                previewed.add(f"preview, {name}", seconds(partial(stack.must, "preview")))
                deployed.add(f"pulumi up, {name}", seconds(stack.up))
                stack.must("destroy", "--yes", "--skip-preview")
    return previewed.results() + deployed.results()


def rendered(export: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the stack's Kubernetes objects as manifests, the namespace first."""
    objects = [
        resource["inputs"]
        for resource in export["deployment"]["resources"]
        if resource["type"].startswith("kubernetes:") and "apiVersion" in resource.get("inputs", {})
    ]
    return sorted(objects, key=lambda item: item["kind"] != "Namespace")


def _apply(document: str) -> None:
    must("apply", "--filename=-", text=document)
    must("wait", f"--namespace={NAMESPACE}", "--for=condition=Available", "deployment", "--all", "--timeout=120s")

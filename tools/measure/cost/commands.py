"""Times Pulumi's commands beside those of kubectl for the same objects, and beside smaller programs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tools.lab_stack import Stack
from tools.measure.cost.programs import EMPTY, ONE_NAMESPACE, another
from tools.measure.cost.timings import Timings, seconds
from tools.measure.faults.inject import must
from tools.measure.results import Result

ROUNDS = 5
PREVIEW_ROUNDS = 10
"""Our choice."""

PREVIEW_RATIO = 1.3
"""The aim for a preview: at most 1.3 times the preview of a single Namespace."""

_NEW, _UNCHANGED = "the whole program, everything new", "the whole program, nothing to do"
_ALL = "with Prometheus, Grafana and the demo, everything new"
_ONE = "a program with one Namespace"
NAMESPACE = "tracing-bench"


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
    every.configure({f"{part}.enabled": "true" for part in ("prometheus", "grafana", "demo")})
    every.must("config", "set", "--secret", "grafanaPassword", "a-password-of-a-preview")
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

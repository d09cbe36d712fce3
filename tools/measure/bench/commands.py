"""What Pulumi's commands take beside kubectl's, of the same objects, and beside programs that do less."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tools.lab_stack import Stack
from tools.measure.bench.programs import EMPTY, ONE_NAMESPACE, another
from tools.measure.bench.tables import Rows, seconds
from tools.measure.reliability.faults import must

ROUNDS = 5
PREVIEW_ROUNDS = 10
_ONE = "a program with one Namespace"
NAMESPACE = "tracing-bench"


def commands(scratch: Path, show: Callable[[str], None]) -> Rows:
    """Each command several times: on an empty cluster with the images present, and then with nothing to do."""
    stack = Stack.lay_out(scratch / "program", "bench", NAMESPACE)
    empty = another(scratch / "empty", EMPTY)
    rows = Rows("kubectl apply + wait")
    try:
        for number in range(ROUNDS):
            show(f"round {number + 1} of {ROUNDS}")
            rows.add("pulumi up", seconds(stack.up))
            rows.add("pulumi up, nothing to do", seconds(stack.up))
            rows.add("pulumi up, an empty program", seconds(empty.up))
            document = yaml.safe_dump_all(rendered(json.loads(stack.must("stack", "export"))))
            stack.must("destroy", "--yes", "--skip-preview")
            rows.add("kubectl apply + wait", seconds(lambda document=document: _apply(document)))
            rows.add(
                "kubectl diff, nothing to do",
                seconds(lambda document=document: must("diff", "--filename=-", text=document)),
            )
            must("delete", "namespace", NAMESPACE)
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")
    return rows


def previews(scratch: Path, show: Callable[[str], None]) -> Rows:
    """Previews of the whole program, everything new and nothing to do, beside those of programs that do less."""
    new = Stack.lay_out(scratch / "new", "bench", f"{NAMESPACE}-new")
    stack = Stack.lay_out(scratch / "deployed", "bench", NAMESPACE)
    one = another(scratch / "one", ONE_NAMESPACE)
    empty = another(scratch / "nothing", EMPTY)
    rows = Rows(_ONE)
    try:
        stack.up()
        for number in range(PREVIEW_ROUNDS):
            show(f"round {number + 1} of {PREVIEW_ROUNDS}")
            rows.add("the whole program, everything new", seconds(lambda: new.must("preview")))
            rows.add("the whole program, nothing to do", seconds(lambda: stack.must("preview")))
            rows.add(_ONE, seconds(lambda: one.must("preview")))
            rows.add("an empty program", seconds(lambda: empty.must("preview")))
    finally:
        stack.pulumi("destroy", "--yes", "--skip-preview")
    return rows


def rendered(export: dict[str, Any]) -> list[dict[str, Any]]:
    """The stack's Kubernetes objects as a person would write them, the namespace first."""
    objects = [
        resource["inputs"]
        for resource in export["deployment"]["resources"]
        if resource["type"].startswith("kubernetes:") and "apiVersion" in resource.get("inputs", {})
    ]
    return sorted(objects, key=lambda item: item["kind"] != "Namespace")


def _apply(document: str) -> None:
    must("apply", "--filename=-", text=document)
    must("wait", f"--namespace={NAMESPACE}", "--for=condition=Available", "deployment", "--all", "--timeout=120s")

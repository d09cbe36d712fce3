"""Runs Pulumi's commands on an unchanged stack and on one that was changed by hand in the cluster."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from tools.lab_stack import Stack
from tools.measure.faults.inject import must
from tools.measure.results import Result


@dataclass(frozen=True)
class Tampering:
    """A change of one field in the cluster, by hand."""

    kind: str
    name: str
    path: str
    """The field, as a JSON patch names it."""

    value: Any


TAMPERINGS = (
    Tampering("deployment", "nginx", "/spec/replicas", 1),
    Tampering("deployment", "nginx", "/spec/template/spec/containers/0/resources/limits/memory", "64Mi"),
    Tampering("deployment", "nginx", "/spec/template/spec/terminationGracePeriodSeconds", 7),
    Tampering("service", "nginx", "/spec/ports/0/targetPort", 9999),
    Tampering("service", "otel-collector", "/spec/selector/app.kubernetes.io~1name", "nobody"),
    Tampering("statefulset", "otel-collector", "/spec/replicas", 1),
    Tampering("poddisruptionbudget", "nginx", "/spec/maxUnavailable", 2),
    Tampering("networkpolicy", "tempo", "/spec/ingress", []),
    Tampering("configmap", "otel-collector-config", "/data/config.yaml", "receivers: {}\n"),
    Tampering("namespace", "", "/metadata/labels/pod-security.kubernetes.io~1enforce", "privileged"),
)


def no_op(stack: Stack, runs: int) -> Result:
    """Runs `pulumi up` repeatedly, and counts the runs that changed something."""
    changed = 0
    for _ in range(runs):
        done = stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
        changed += done.returncode != 0
    return Result(f"no-op `pulumi up`, {runs} runs: with changes", "0", str(changed), not changed)


def refreshed(stack: Stack) -> Result:
    """Runs `pulumi refresh` after `up`, and a preview after an export and import of the state."""
    differences = stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes").returncode != 0
    exported = stack.folder / "exported.json"
    stack.must("stack", "export", "--show-secrets", f"--file={exported}")
    stack.must("stack", "import", f"--file={exported}")
    exported.unlink()
    planned = stack.planned()
    value = f"refresh {'differs' if differences else '0'}; preview {len(planned)}"
    return Result("differences after `up`", "0; 0", value, not differences and not planned)


def healed(stack: Stack, show: Callable[[str], None]) -> Result:
    """Changes fields by hand, and counts those that `pulumi refresh` and `pulumi up` set back."""
    kept: list[str] = []
    changed: list[str] = []
    for tampering in TAMPERINGS:
        what = f"{tampering.kind} {tampering.name} {tampering.path}"
        show(what)
        before = _value(stack, tampering)
        patch = json.dumps([{"op": "replace", "path": tampering.path, "value": tampering.value}])
        must("patch", *_object(stack, tampering), "--type=json", f"--patch={patch}")
        stack.must("refresh", "--yes", "--skip-preview")
        done = stack.pulumi("up", "--yes", "--skip-preview")
        (kept if done.returncode == 0 and _value(stack, tampering) == before else changed).append(what)
    count = len(TAMPERINGS)
    details = {"not healed": ", ".join(changed)}
    return Result("tampered fields healed", f"{count} of {count}", f"{len(kept)} of {count}", not changed, {**details})


def removed(stack: Stack) -> Result:
    """Runs `pulumi destroy` twice, and counts the objects that are left."""
    stack.must("destroy", "--yes", "--skip-preview")
    left = [
        line
        for kind in ("namespaces", "persistentvolumes", "clusterroles", "clusterrolebindings")
        for line in must("get", kind, "--output=name").split()
        if stack.namespace in line
    ]
    second = stack.pulumi("destroy", "--yes", "--skip-preview").returncode
    value = f"{len(left)} left; second destroy exits with {second}"
    return Result("after `pulumi destroy`", "0 left; 0", value, not left and second == 0, {"left": ", ".join(left)})


def _object(stack: Stack, tampering: Tampering) -> list[str]:
    if tampering.kind == "namespace":
        return ["namespace", stack.namespace]
    name = tampering.name
    if tampering.kind in {"configmap", "networkpolicy"}:
        # These are auto-named: the cluster knows the current name.
        listed = must("get", tampering.kind, f"--namespace={stack.namespace}", "--output=name").split()
        (name,) = (found for found in (item.split("/")[1] for item in listed) if found.startswith(f"{name}-"))
    return [tampering.kind, name, f"--namespace={stack.namespace}"]


def _value(stack: Stack, tampering: Tampering) -> Any:
    found: Any = json.loads(must("get", *_object(stack, tampering), "--output=json"))
    for part in tampering.path.split("/")[1:]:
        key = part.replace("~1", "/")
        found = cast("Any", found[int(key)] if isinstance(found, list) else found[key])
    return found

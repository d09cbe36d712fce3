"""`pulumi up` that is killed on its way, and edits of single options: what they leave, and what they touch."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import IO, Any, cast

import yaml

from lab.errors import LabError
from lab.paths import REPOSITORY
from settings.errors import PROJECT
from tools.cluster import Access
from tools.drift.orphans import orphans
from tools.errors import ToolError
from tools.lab_stack import Stack
from tools.measure.reliability.faults import free_volumes
from tools.measure.reliability.figures import Figure

AUTO_NAMED = ("ConfigMap", "Secret", "NetworkPolicy")
"""An edit of one makes a new one, by design: pods of before keep the old one for as long as they are there."""

REFUSED = "nothing was changed"
"""What the program says of a configuration with errors, and of another cluster than the stack's."""

NEEDED = ("namespace", "tempo.persistence", "collector.queue", "collector.distribution")
"""Keys that cannot change what is there: a namespace has one name, a StatefulSet keeps its volumes."""


def killed(stack: Stack, show: Callable[[str], None]) -> list[Figure]:
    """SIGKILL to the CLI after each resource that is created; then `pulumi cancel` and `pulumi up`, as README says.

    The stack is to be empty, and is at the end.
    """
    # What was created and is not in the state has another field manager: without force its fields are a conflict.
    forced = replace(stack, environment=stack.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    failures, left = list[str](), list[str]()
    steps = 0
    while is_killed_after(stack, steps + 1):
        steps += 1
        show(f"killed after {steps} resources")
        stack.must("cancel", "--yes")
        again = forced.pulumi("up", "--yes", "--skip-preview")
        if again.returncode != 0:
            failures.append(f"{steps}: up failed: {again.stdout[-300:]}")
        elif planned := stack.planned():
            failures.append(f"{steps}: not converged: {planned}")
        left += _orphans(stack)
        stack.must("destroy", "--yes", "--skip-preview")
        free_volumes()
    what = "`pulumi up` killed after each resource"
    value = f"{steps - len(failures)} of {steps}"
    return [
        Figure(
            f"{what}: `pulumi up` converges", "all", value, bool(steps) and not failures, {"wrong": "; ".join(failures)}
        ),
        Figure(f"{what}: orphaned until `destroy`", "0", str(len(left)), not left, {"which": ", ".join(left)}),
    ]


def is_killed_after(stack: Stack, resources: int) -> bool:
    """Runs `pulumi up` and kills it after so many resources; false where it ended before."""
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color=never", f"--stack={stack.name}"]
    created = 0
    with subprocess.Popen(
        command, cwd=stack.folder, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in cast("IO[str]", process.stdout):
            created += " created (" in line
            if created >= resources:
                process.send_signal(signal.SIGKILL)
                return True
    if process.returncode != 0:
        raise LabError(f"`pulumi up` exited with {process.returncode}.")
    stack.must("destroy", "--yes", "--skip-preview")
    return False


def _orphans(stack: Stack) -> list[str]:
    """The objects of the stack's labels that are not in its state, as `make drift` finds them.

    Raises:
        LabError: they cannot be listed.
    """
    state = json.loads(stack.must("stack", "export"))["deployment"]["resources"]
    outputs = [resource["outputs"] for resource in state if "metadata" in resource.get("outputs", {})]
    names = {(item["metadata"].get("namespace", ""), item["kind"], item["metadata"]["name"]) for item in outputs}
    try:
        found = orphans(names, f"{PROJECT}/{stack.name}", Access(stack.environment["KUBECONFIG"]))
    except ToolError as error:
        raise LabError(str(error)) from None
    # Claims of replicas are in no state; they go with the namespace.
    return [f"{item.kind} {item.name}" for item in found if not item.is_claim]


def edits(stack: Stack, show: Callable[[str], None]) -> Figure:
    """Each option alone is set to another value: what a preview would replace that it need not.

    Values are those of the golden case that sets every key; what is no valid edit by itself is left out, and counted.
    """
    tried, refused, replaced, failed = 0, 0, list[str](), list[str]()
    text = (REPOSITORY / "tests" / "golden" / "every-knob" / "config.yaml").read_text()
    configuration = stack.folder / f"Pulumi.{stack.name}.yaml"
    before = configuration.read_text()
    for key, value in _leaves(yaml.safe_load(text)):
        if key.startswith(NEEDED):
            continue
        stack.configure({key: value})
        show(key)
        try:
            operations = stack.planned()
        except LabError as error:
            # Anything else is a defect: an edit that a person cannot make.
            if REFUSED in str(error):
                refused += 1
            else:
                failed.append(f"{key}: {error}")
            continue
        finally:
            # `pulumi config rm` would leave the empty object around the key.
            configuration.write_text(before)
        tried += 1
        replaced += [
            f"{key}: {name}"
            for name, operation in operations.items()
            if "replace" in operation and not name.split("::")[0].endswith(AUTO_NAMED)
        ]
    details = {"edits": tried, "not valid alone": refused, "replaced": "; ".join(replaced), "failed": "; ".join(failed)}
    what = "replacements that were not needed, of single-option edits"
    value = f"{len(replaced)} in {tried} edits" + (f"; {len(failed)} failed" if failed else "")
    return Figure(what, "0", value, bool(tried) and not replaced and not failed, {**details})


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every plain value by its path; secrets and lists of objects are left out."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            if key.isidentifier() and "assword" not in key and key not in {"exporters", "routes"}:
                yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif isinstance(value, str | int | float):
        yield path, str(value)

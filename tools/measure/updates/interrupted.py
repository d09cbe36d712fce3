"""Kills `pulumi up` on its way and edits single options: what they leave behind, and what they replace."""

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
from tools.measure.faults.inject import free_volumes
from tools.measure.results import Result

AUTO_NAMED = ("ConfigMap", "Secret", "NetworkPolicy")
"""An edit replaces objects of these kinds by design, so that old pods keep the old object while they run."""

REFUSED = "nothing was changed"
"""The program prints this about a configuration with errors, and about a cluster that is not the stack's."""

NEEDED = ("namespace", "tempo.persistence", "collector.queue", "collector.distribution")
"""An edit of these keys has to replace objects: a namespace has one name, a StatefulSet keeps its volumes."""

ORPHANED = (
    "Pulumi's state lacks the object that the CLI was creating when it was killed. The next update creates a ConfigMap "
    "or NetworkPolicy under another name, because these have random names. A name made from the content would be found "
    "again, but the rollback of a failed update would then delete the object in use. `make drift` names the orphans, "
    "with the command that removes them."
)


def killed(stack: Stack, show: Callable[[str], None]) -> list[Result]:
    """Kills the CLI after each resource that it creates, and recovers by `pulumi cancel` and `pulumi up`.

    Args:
        stack: an empty stack, which is empty again at the end.
        show: is given a line of progress for each kill.
    """
    # An object that the cluster has and the state lacks has another field manager: without force its fields conflict.
    forced = replace(stack, environment=stack.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    failures, orphans = list[str](), list[str]()
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
        orphans += _orphans(stack)
        stack.must("destroy", "--yes", "--skip-preview")
        free_volumes()
    return killed_results(steps, failures, orphans)


def killed_results(steps: int, failures: list[str], orphans: list[str]) -> list[Result]:
    """Returns the results of killed updates.

    Args:
        steps: how many updates were killed.
        failures: those that `pulumi up` did not recover, and why.
        orphans: kind and name of each orphan.
    """
    what = "`pulumi up` killed after each resource"
    # The reason of the gap is random names. An orphan of another kind has a fixed name.
    gap = ORPHANED if all(each.startswith(AUTO_NAMED) for each in orphans) else None
    return [
        Result(
            f"{what}: `pulumi up` converges",
            "all",
            f"{steps - len(failures)} of {steps}",
            bool(steps) and not failures,
            {"problems": "; ".join(failures)},
        ),
        Result(
            f"{what}: orphaned until `destroy`",
            "0",
            str(len(orphans)),
            bool(steps) and not orphans,
            {"which": ", ".join(orphans)},
            gap,
        ),
    ]


def is_killed_after(stack: Stack, resources: int) -> bool:
    """Runs `pulumi up` and kills it once it has created so many resources.

    Returns:
        Whether it was killed. If it ended before, the stack is destroyed.

    Raises:
        LabError: `pulumi up` failed by itself.
    """
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


def edits(stack: Stack, show: Callable[[str], None]) -> Result:
    """Sets each option alone to another value, and counts needless replacements in the previews.

    The values are those of the golden case that sets every key. An edit that is not valid by itself is counted as such.

    Args:
        stack: a deployed stack, which is previewed and not changed.
        show: is given the key of each edit.
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
            # Any other error is a defect: it stops a valid edit.
            if REFUSED in str(error):
                refused += 1
            else:
                failed.append(f"{key}: {error}")
            continue
        finally:
            # `pulumi config rm` would leave an empty object around the key.
            configuration.write_text(before)
        tried += 1
        replaced += [
            f"{key}: {name}"
            for name, operation in operations.items()
            if "replace" in operation and not name.split("::")[0].endswith(AUTO_NAMED)
        ]
    details = {"edits": tried, "not valid alone": refused, "replaced": "; ".join(replaced), "failed": "; ".join(failed)}
    what = "needless replacements by edits of single options"
    value = f"{len(replaced)} in {tried} edits" + (f"; {len(failed)} failed" if failed else "")
    return Result(what, "0", value, bool(tried) and not replaced and not failed, {**details})


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields every plain value with its path, without secrets and lists of objects."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            if key.isidentifier() and "assword" not in key and key not in {"exporters", "routes"}:
                yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif isinstance(value, str | int | float):
        yield path, str(value)

"""`make bench`: what Pulumi costs beside `kubectl apply` of the same objects.

Five rounds, each on an empty cluster with the images present: `pulumi up` to its end (every pod Ready) and
`kubectl apply` of the same rendered objects until every Deployment is available. An empty Python program's
`pulumi preview` is the floor that no program with this engine can go below.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from lab.paths import KUBECONFIG, REPOSITORY
from lab.stack import lay_out

ROUNDS = 5
STACK = "bench"
NAMESPACE = "tracing-bench"


def run(*command: str, folder: Path, environment: dict[str, str], text: str | None = None) -> str:
    """Runs a command that must succeed; its output is shown when it does not."""
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True, input=text)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.monotonic()
    work()
    return time.monotonic() - start


def rendered(export: dict[str, Any]) -> list[dict[str, Any]]:
    """The stack's Kubernetes objects as a person would write them, the namespace first."""
    objects = [
        resource["inputs"]
        for resource in export["deployment"]["resources"]
        if resource["type"].startswith("kubernetes:") and "apiVersion" in resource.get("inputs", {})
    ]
    return sorted(objects, key=lambda item: item["kind"] != "Namespace")


def main() -> int:
    """Measures and prints a table; needs a running lab."""
    if not KUBECONFIG.exists():
        sys.exit("No lab is running: `make lab-up` first.")
    rows: dict[str, list[float]] = {"pulumi up": [], "kubectl apply + wait": [], "empty program's preview": []}
    with tempfile.TemporaryDirectory() as scratch:
        program, empty = Path(scratch) / "program", Path(scratch) / "empty"
        environment = lay_out(program, STACK, NAMESPACE)
        _make_empty_program(empty, environment)

        def pulumi(*arguments: str, folder: Path = program) -> str:
            return run("pulumi", "--non-interactive", *arguments, folder=folder, environment=environment)

        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            rows["pulumi up"].append(seconds(lambda: pulumi("up", "--yes", "--skip-preview")))
            objects = rendered(json.loads(pulumi("stack", "export")))
            pulumi("destroy", "--yes", "--skip-preview")
            document = yaml.safe_dump_all(objects)

            def apply(document: str = document) -> None:
                run("kubectl", "apply", "--filename=-", folder=empty, environment=environment, text=document)
                wait = ("--for=condition=Available", "deployment", "--all", "--timeout=120s")
                run("kubectl", "wait", f"--namespace={NAMESPACE}", *wait, folder=empty, environment=environment)

            rows["kubectl apply + wait"].append(seconds(apply))
            run("kubectl", "delete", "namespace", NAMESPACE, folder=empty, environment=environment)
            rows["empty program's preview"].append(seconds(lambda: pulumi("preview", folder=empty)))
    _show(rows)
    return 0


def _make_empty_program(folder: Path, environment: dict[str, str]) -> None:
    folder.mkdir()
    runtime = {"name": "python", "options": {"virtualenv": str(REPOSITORY / ".venv")}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "empty", "runtime": runtime}))
    (folder / "__main__.py").touch()
    run("pulumi", "stack", "init", STACK, folder=folder, environment=environment)


def _show(rows: dict[str, list[float]]) -> None:
    table = Table("what", "min", "median", "max", "÷ kubectl", title=f"seconds, {ROUNDS} rounds")
    base = statistics.median(rows["kubectl apply + wait"])
    for what, figures in rows.items():
        middle = statistics.median(figures)
        table.add_row(what, f"{min(figures):.1f}", f"{middle:.1f}", f"{max(figures):.1f}", f"{middle / base:.2f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

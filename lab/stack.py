"""A stack of the program on the lab, for tests and measurements: a copy with a backend of its own.

`make up` is not built on it: it deploys the checkout itself, on whatever cluster it takes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError
from lab.paths import BIN, KUBECONFIG, REPOSITORY

PROGRAM = ("Pulumi.yaml", "__main__.py", "settings", "components", "docker", "requirements.txt")


def take_interrupts() -> None:
    """Undoes, for this process and those that it starts, that a job in the background ignores SIGINT.

    The engine ends its plugins with that signal, and waits five seconds for those that do not hear it: in each command.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Stack:
    """A copy of the program with a stack, a backend and a namespace of its own."""

    folder: Path
    name: str
    namespace: str
    environment: dict[str, str]
    """In which `pulumi` and `kubectl` find the stack and the lab."""

    @classmethod
    def lay_out(cls, folder: Path, name: str, namespace: str) -> "Stack":
        """Copies the program into a new folder and makes a stack of it with the lab's images."""
        return cls(folder, name, namespace, lay_out(folder, name, namespace))

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI on this stack."""
        return subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *arguments, f"--stack={self.name}"],
            check=False,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def must(self, *arguments: str) -> str:
        """Runs the Pulumi CLI.

        Raises:
            LabError: it failed; with what it printed.
        """
        done = self.pulumi(*arguments)
        if done.returncode != 0:
            raise LabError(f"`pulumi {' '.join(arguments)}` exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def up(self) -> str:
        """Deploys."""
        return self.must("up", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return json.loads(self.must("stack", "output", "--json"))

    def planned(self) -> dict[str, str]:
        """What a preview would do: an operation for each resource's `type::name`, unchanged ones left out."""
        steps = json.loads(self.must("preview", "--json"))["steps"]
        named = {"::".join(step["urn"].split("::")[-2:]).split("$")[-1]: step["op"] for step in steps}
        return {name: operation for name, operation in named.items() if operation != "same"}

    def configure(self, values: Mapping[str, str]) -> None:
        """Sets configuration values by their paths."""
        self.must("config", "set-all", "--path", *(f"--plaintext={key}={value}" for key, value in values.items()))


def lay_out(folder: Path, name: str, namespace: str) -> dict[str, str]:
    """Copies the program into a new folder and makes a stack of it with the lab's images.

    Args:
        folder: where; made here.
        name: the stack.
        namespace: what it deploys to.

    Returns:
        The environment in which `pulumi` and `kubectl` find the stack and the lab.
    """
    folder.mkdir()
    for entry in PROGRAM:
        source = REPOSITORY / entry
        if source.is_dir():
            shutil.copytree(source, folder / entry, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / entry)
    (folder / ".venv").symlink_to(sys.prefix)
    document = yaml.safe_load((REPOSITORY / "lab" / "Pulumi.lab.yaml").read_text())
    document["config"]["nginx-tracing:namespace"] = namespace
    (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    backend = folder / "backend"
    backend.mkdir()
    environment = os.environ | {
        # As a person's shell: Python keeps what it compiled for the next command, whatever these tests run with.
        "PYTHONDONTWRITEBYTECODE": "",
        # The lab's Python language host takes the interpreter from PATH.
        "PATH": f"{BIN}:{sys.prefix}/bin:{os.environ['PATH']}",
        "KUBECONFIG": str(KUBECONFIG),
        # Without files of attributes: Pulumi writes those in place, and an empty one, after a kill, is as no state.
        "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "protects nothing",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    command = ["pulumi", "stack", "init", name]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return environment

"""A stack of the program on the lab, for tests and measurements: a copy with a backend of its own.

`make up` does not use it: it deploys the checkout itself, on whatever cluster it takes.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError
from lab.paths import BIN, KUBECONFIG
from lab.stack import stack_configuration
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.pulumi_cli import PulumiCli, local_backend

PROGRAM = ("Pulumi.yaml", "__main__.py", "settings", "components", "docker", "monitoring", "requirements.txt")
"""The files and folders of the checkout that a copy of the program needs."""


def take_interrupts() -> None:
    """Lets this process and its children take SIGINT, which a shell makes jobs in the background ignore.

    The engine ends its plugins with that signal, and in each command it waits five seconds for a plugin that ignores
    it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Stack:
    """A copy of the program with a stack, a backend and a namespace of its own."""

    folder: Path
    name: str
    namespace: str
    environment: dict[str, str]
    """The variables by which `pulumi` and `kubectl` find the stack and the lab."""

    @classmethod
    def lay_out(cls, folder: Path, name: str, namespace: str) -> "Stack":
        """Copies the program into a new folder and makes a stack of it with the lab's images."""
        return cls(folder, name, namespace, lay_out(folder, name, namespace))

    @property
    def cli(self) -> PulumiCli:
        """The Pulumi CLI on this stack."""
        return PulumiCli(self.name, self.folder, self.environment)

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI on this stack."""
        return self.cli.run(*arguments)

    def must(self, *arguments: str) -> str:
        """Runs the Pulumi CLI and returns what it printed.

        Raises:
            LabError: it failed; with what it printed.
        """
        try:
            return self.cli.must(*arguments)
        except ToolError as error:
            raise LabError(str(error)) from None

    def up(self) -> str:
        """Deploys the stack."""
        return self.must("up", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs."""
        return json.loads(self.must("stack", "output", "--json"))

    def planned(self) -> dict[str, str]:
        """Returns what a preview would do: an operation for each resource's `type::name`, unchanged ones left out."""
        steps = json.loads(self.must("preview", "--json"))["steps"]
        named = {"::".join(step["urn"].split("::")[-2:]).split("$")[-1]: step["op"] for step in steps}
        return {name: operation for name, operation in named.items() if operation != "same"}

    def configure(self, values: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> None:
        """Sets configuration values, and secret ones, by their paths."""
        plain = (f"--plaintext={key}={value}" for key, value in values.items())
        secret = (f"--secret={key}={value}" for key, value in (secrets or {}).items())
        self.must("config", "set-all", "--path", *plain, *secret)


@contextlib.contextmanager
def ephemeral(
    folder: Path,
    namespace: str,
    configuration: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    *,
    name: str = "bench",
) -> Generator[Stack]:
    """Lays out a stack without deploying it, and removes all that it has deployed at the end."""
    stack = Stack.lay_out(folder, name, namespace)
    if configuration:
        stack.configure(configuration, secrets)
    try:
        yield stack
    finally:
        stack.pulumi("cancel", "--yes")
        stack.pulumi("destroy", "--yes", "--skip-preview")


def lay_out(folder: Path, name: str, namespace: str) -> dict[str, str]:
    """Copies the program into a new folder and makes a stack of it with the lab's images.

    Args:
        folder: the copy's; it is created here.
        name: the stack's name.
        namespace: the namespace that the stack deploys to.

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
    document = yaml.safe_load(stack_configuration())
    document["config"]["nginx-tracing:namespace"] = namespace
    (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    backend = folder / "backend"
    backend.mkdir()
    own = {
        # As in a person's shell: Python keeps what it compiled for the next command, though the tests may not.
        "PYTHONDONTWRITEBYTECODE": "",
        # The lab's Python language host takes the interpreter from PATH.
        "PATH": f"{BIN}:{sys.prefix}/bin:{os.environ['PATH']}",
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_CONFIG_PASSPHRASE": "protects nothing",
    }
    environment = os.environ | own | local_backend(backend)
    try:
        PulumiCli(folder=folder, environment=environment).must("stack", "init", name)
    except ToolError as error:
        raise LabError(str(error)) from None
    return environment

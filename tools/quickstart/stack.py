"""The quickstart's Pulumi stack: a file backend and a generated passphrase, both in `.state`."""

import os
import re
import secrets
import sys
from dataclasses import dataclass
from typing import Any

import yaml

from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.pulumi_cli import PulumiCli, local_backend
from tools.quickstart import cli
from tools.quickstart.clusters import Cluster
from tools.quickstart.state import STATE

PYTHON = str(REPOSITORY / ".venv" / "bin")
"""First on PATH: the lab's Python language host takes the interpreter from there."""

NAME = "quickstart"
FILE = REPOSITORY / f"Pulumi.{NAME}.yaml"
"""Written from the cluster's stack file, kept for a person's edits, removed by `make down`; not in git."""

_DEMO = "nginx-tracing:demo"
_HEAD = "# Written by `make up` from "
_WRITTEN = re.compile(rf"{_HEAD}(\S+)\. ")


def path_for(cluster: Cluster) -> str:
    """Returns the PATH of Pulumi commands; a CLI that `make up` installed comes after one of the machine's own."""
    return os.pathsep.join(filter(None, [PYTHON, cluster.path, os.environ["PATH"], str(cli.BIN)]))


def environment(cluster: Cluster) -> dict[str, str]:
    """Returns the environment in which `pulumi` finds the quickstart's backend, stack and cluster."""
    backend, passphrase = STATE / "backend", STATE / "passphrase"
    backend.mkdir(parents=True, exist_ok=True)
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(32))
    own = {
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_STACK": NAME,
        "PATH": path_for(cluster),
    }
    # A passphrase in the caller's environment, for other stacks, would win over the file.
    inherited = {name: value for name, value in os.environ.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
    return inherited | own | local_backend(backend) | cluster.environment


@dataclass(frozen=True)
class Stack:
    """The stack on one cluster."""

    cluster: Cluster

    @property
    def cli(self) -> PulumiCli:
        """The Pulumi CLI on this stack, which PULUMI_STACK names."""
        return PulumiCli(environment=environment(self.cluster))

    def up(self) -> None:
        """Deploys; creates the stack and its configuration when they are missing.

        Raises:
            ToolError: there is no Pulumi CLI and none could be installed, or `pulumi up` failed.
        """
        cli.provide_cli(environment(self.cluster)["PATH"])
        self._configure()
        self._quietly("stack", "select", "--create", NAME)
        # Refreshed: the cluster may be a new one, without the objects in the state.
        self._change("up", "--refresh")

    def destroy(self) -> None:
        """Removes the stack's objects from the cluster, then the stack.

        Raises:
            ToolError: `pulumi destroy` failed; then nothing else is removed.
        """
        if self.exists():
            self._change("destroy")
        self.forget()

    def forget(self) -> None:
        """Removes the stack from the backend without a request to its cluster, which may not exist any more."""
        if self.exists():
            self._quietly("stack", "rm", "--yes", "--force", "--preserve-config", NAME)
        FILE.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether the backend holds the stack."""
        return (STATE / "backend" / ".pulumi" / "stacks" / "nginx-tracing" / f"{NAME}.json").exists()

    def outputs(self) -> dict[str, Any]:
        """Returns the stack's outputs by name."""
        return self.cli.outputs()

    def _configure(self) -> None:
        if FILE.exists():
            written = _WRITTEN.match(FILE.read_text())
            if written and written[1] != self.cluster.stack_file:
                raise ToolError(
                    f"{FILE.name} was written from {written[1]}, not from {self.cluster.stack_file}: `make down` "
                    "removes it with the stack. Or edit its images: `make up` then updates the stack."
                )
            return
        # The configuration alone: a backend's entries, such as an encryption salt, belong to the stack of that file.
        source = yaml.safe_load((REPOSITORY / self.cluster.stack_file).read_text())
        # The demo shows traces with hops before there is an application. The stack file may turn it off.
        configuration: dict[str, Any] = {_DEMO: {"enabled": True}} | source.get("config", {})
        for key, value in self.cluster.configuration.items():
            configuration[key] = {**configuration.get(key, {}), **value} if isinstance(value, dict) else value
        FILE.write_text(
            f"{_HEAD}{self.cluster.stack_file}. Yours to edit; `make down` removes it.\n"
            + yaml.safe_dump({"config": configuration}, sort_keys=False)
        )

    def _change(self, *arguments: str) -> None:
        """Runs `pulumi up` or `destroy` in this terminal.

        Pulumi shows its plan and asks on a cluster that other people may use, when a person is at the terminal.
        """
        may_ask = self.cluster.source == "yours" and sys.stdin.isatty()
        command = [*arguments, *([] if may_ask else ["--yes", "--skip-preview"])]
        if self.cli.show(*command, may_ask=may_ask) != 0:
            raise ToolError(f"`{self.cli.text(*command)}` failed: the reason is above.\n{_BY_HAND}")

    def _quietly(self, *arguments: str) -> None:
        try:
            self.cli.must(*arguments)
        except ToolError as error:
            raise ToolError(f"{error}\n{_BY_HAND}") from None


_BY_HAND = "Pulumi on this stack by hand: .venv/bin/python -m tools pulumi cancel, …"

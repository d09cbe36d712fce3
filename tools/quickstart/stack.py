"""The quickstart's Pulumi stack: a file backend and a generated passphrase, both in `.state`."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tools.paths import REPOSITORY
from tools.quickstart.clusters import Cluster
from tools.quickstart.state import STATE, QuickstartError

PYTHON = str(REPOSITORY / ".venv" / "bin")
"""First on PATH: the lab's Python language host takes the interpreter from there."""

NAME = "quickstart"
FILE = REPOSITORY / f"Pulumi.{NAME}.yaml"
"""Made from the cluster's stack file, kept for the caller's edits, removed by `make down`; not in git."""


def environment(cluster: Cluster) -> dict[str, str]:
    """The environment in which `pulumi` finds the quickstart's backend, stack and cluster."""
    backend, passphrase = STATE / "backend", STATE / "passphrase"
    backend.mkdir(parents=True, exist_ok=True)
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(32))
    own = {
        # Without files of attributes: Pulumi writes those in place, and an empty one, after a kill, is as no state.
        "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_STACK": NAME,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.pathsep.join(filter(None, [PYTHON, cluster.path, os.environ["PATH"]])),
    }
    # A passphrase of the caller's own, for other stacks, would win over the file.
    inherited = {name: value for name, value in os.environ.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
    return inherited | own | cluster.environment


def require_cli(environment: Mapping[str, str], command: str) -> None:
    """Stops where there is no Pulumi CLI.

    Raises:
        QuickstartError: there is none; names the command to repeat.
    """
    if shutil.which("pulumi", path=environment["PATH"]) is None:
        raise QuickstartError(
            f"The Pulumi CLI (`pulumi`) is not on PATH. Install it as its documentation says, and `{command}` again."
        )


@dataclass(frozen=True)
class Stack:
    """The stack on one cluster."""

    cluster: Cluster

    def up(self) -> None:
        """Deploys; makes the stack and its configuration when they are missing.

        Raises:
            QuickstartError: no Pulumi CLI, or `pulumi up` failed.
        """
        require_cli(environment(self.cluster), "make up")
        self._configure()
        self._pulumi("stack", "select", "--create", NAME, quiet=True)
        # Refreshed: the cluster may be a new one, with nothing of what the state says.
        self._change("up", "--refresh")

    def destroy(self) -> None:
        """Removes the stack's objects from the cluster, then the stack.

        Raises:
            QuickstartError: `pulumi destroy` failed; nothing else is removed then.
        """
        if self.exists():
            self._change("destroy")
        self.forget()

    def forget(self) -> None:
        """Removes the stack from the backend without touching the cluster: for one that is gone."""
        if self.exists():
            self._pulumi("stack", "rm", "--yes", "--force", "--preserve-config", NAME, quiet=True)
        FILE.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether the backend holds the stack."""
        return (STATE / "backend" / ".pulumi" / "stacks" / "nginx-tracing" / f"{NAME}.json").exists()

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs by name."""
        printed = self._pulumi("stack", "output", "--json", quiet=True)
        return yaml.safe_load(printed)

    def _configure(self) -> None:
        if FILE.exists():
            return
        # The configuration alone: a backend's entries, an encryption salt say, belong to the stack they were made for.
        source = yaml.safe_load((REPOSITORY / self.cluster.stack_file).read_text())
        configuration: dict[str, Any] = source.get("config", {})
        for key, value in self.cluster.configuration.items():
            configuration[key] = {**configuration.get(key, {}), **value} if isinstance(value, dict) else value
        FILE.write_text(
            f"# Made by `make up` from {self.cluster.stack_file}. Yours to edit; `make down` removes it.\n"
            + yaml.safe_dump({"config": configuration}, sort_keys=False)
        )

    def _change(self, *arguments: str) -> None:
        self._pulumi(*arguments, *([] if self._may_ask() else ["--yes", "--skip-preview"]))

    def _pulumi(self, *arguments: str, quiet: bool = False) -> str:
        done = subprocess.Popen(
            ["pulumi", *(["--non-interactive"] if quiet else []), *arguments],
            cwd=REPOSITORY,
            env=environment(self.cluster),
            stdin=None if self._may_ask() and not quiet else subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
            text=True,
        )
        try:
            output, errors = done.communicate()
        except KeyboardInterrupt:
            # It was interrupted as well, and ends by itself: killed, it would leave the stack locked.
            output, errors = done.communicate()
        if done.returncode != 0:
            said = ((output or "") + (errors or "")).strip()
            raise QuickstartError(
                f"`pulumi {' '.join(arguments)}` failed: {said or 'why is said above.'}\n"
                "Pulumi on this stack by hand: .venv/bin/python -m tools pulumi cancel, …"
            )
        return output or ""

    def _may_ask(self) -> bool:
        """Whether Pulumi shows what it will do and asks: on a cluster that others use too, with somebody there."""
        return self.cluster.source == "yours" and sys.stdin.isatty()

"""Chooses the cluster: the one that the caller names, else kind, else the embedded lab."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import yaml

from lab.cluster.lifecycle import is_running as lab_is_running
from lab.paths import KUBECONFIG as LAB_KUBECONFIG
from lab.stack import stack_file
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.quickstart.cli import provide_cli
from tools.quickstart.state import STATE

KIND_NAME = "nginx-tracing"
KIND_NODE_IMAGE = "kindest/node:v1.32.2"
KIND_NGINX_PORT, KIND_TEMPO_PORT = 30080, 30310
"""kind publishes only the ports that its configuration names, so the two NodePorts are fixed there."""


@dataclass(frozen=True)
class Cluster:
    """A cluster to deploy to. The program sees only its environment and the stack's configuration."""

    source: str
    """`yours`, `kind` or `lab`."""

    description: str
    stack_file: str
    """The stack configuration to start from."""

    environment: dict[str, str] = field(default_factory=dict[str, str])
    path: str = ""
    """A folder to put first on PATH."""

    configuration: dict[str, Any] = field(default_factory=dict[str, Any])
    """The configuration that this cluster needs in addition to the stack file's."""

    existed: bool = False
    """A kind cluster or a lab that ran before `make up`."""

    @property
    def is_ours(self) -> bool:
        """Whether `make up` created it, so that `make down` removes it."""
        return self.source != "yours" and not self.existed

    def save(self) -> None:
        """Keeps the choice for `make down` and `make probe`."""
        (STATE / "cluster.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def saved() -> Cluster | None:
    """Returns the cluster that `make up` took last; None after `make down`."""
    file = STATE / "cluster.json"
    return Cluster(**json.loads(file.read_text())) if file.exists() else None


def acquire() -> Cluster:
    """Returns the cluster that `make up` took before, else the first source that applies; creates it if it is missing.

    Raises:
        ToolError: it could not be created, or the caller names another cluster than before.
    """
    before, yours = saved(), _yours()
    if before is None:
        return yours or _marked(_kind, _lab)
    if yours and yours != before:
        raise ToolError(
            f"The stack is up on {before.description}, and you name {yours.description}: `make down` first."
        )
    if before.source == "yours":
        return before
    again = _kind() or before if before.source == "kind" else _lab()
    return replace(again, existed=before.existed)


def _marked(*sources: Callable[[], Cluster | None]) -> Cluster:
    """Returns the cluster of the first source that applies, with a mark if it ran before.

    The sources without a running cluster are noted first: an interrupted `make up` may have created one already.
    """
    note = STATE / "created"
    noted = set(note.read_text().split()) if note.exists() else set[str]()
    running = {cluster.source for cluster in _creatable() if is_reachable(cluster)} - noted
    note.write_text(" ".join(cluster.source for cluster in _creatable() if cluster.source not in running))
    cluster = next(cluster for source in sources if (cluster := source()))
    return replace(cluster, existed=cluster.source in running)


def _creatable() -> list[Cluster]:
    return [Cluster("kind", f"kind cluster {KIND_NAME}", ""), Cluster("lab", "the embedded lab", "")]


@contextlib.contextmanager
def ephemeral_cluster() -> Generator[Cluster]:
    """Yields a kind or lab cluster, whatever cluster the caller names; removes it at the end, unless it ran before.

    Raises:
        ToolError: it could not be created or removed.
    """
    absent = [cluster for cluster in _creatable() if not is_reachable(cluster)]
    try:
        yield _kind() or _lab()
    finally:
        # Also one whose creation failed halfway.
        for cluster in filter(is_reachable, absent):
            remove(cluster)


def _yours() -> Cluster | None:
    """Returns the cluster that `KUBECONFIG` or `CONTEXT` names. A current context alone names none."""
    kubeconfig, context = os.environ.get("KUBECONFIG"), os.environ.get("CONTEXT")
    if not context and kubeconfig in {None, "", str(LAB_KUBECONFIG)}:
        # The lab's kubeconfig is left to `_lab`: that cluster has the lab's images only.
        return None
    named = " and ".join(
        f"{name}={value}" for name, value in (("KUBECONFIG", kubeconfig), ("CONTEXT", context)) if value
    )
    return Cluster(
        "yours",
        f"your cluster ({named})",
        "Pulumi.dev.yaml",
        environment={"KUBECONFIG": kubeconfig} if kubeconfig else {},
        configuration={"kubernetes:context": context} if context else {},
    )


def _kind() -> Cluster | None:
    """Returns a kind cluster where Docker runs, can pull kind's node image, and there is or can be a Pulumi CLI."""
    if (lacking := _lacks_for_kind()) is not None:
        print(f"kind: passed over, {lacking}")
        return None
    try:
        # Before the cluster: the lab, which comes next, builds a CLI of its own.
        provide_cli(os.environ["PATH"])
    except ToolError as error:
        print(f"kind: passed over. {error}")
        return None
    kubeconfig = STATE / "kind.kubeconfig"
    if KIND_NAME not in _printed("kind", "get", "clusters").split():
        if subprocess.run(["docker", "pull", KIND_NODE_IMAGE], check=False).returncode != 0:
            print(f"kind: passed over, Docker cannot pull {KIND_NODE_IMAGE}")
            return None
        ports = [{"containerPort": port, "hostPort": port} for port in (KIND_NGINX_PORT, KIND_TEMPO_PORT)]
        nodes = [{"role": "control-plane", "extraPortMappings": ports}]
        document = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}
        command = ["kind", "create", "cluster", f"--name={KIND_NAME}", f"--image={KIND_NODE_IMAGE}", "--config=-"]
        created = subprocess.run(
            command, check=False, text=True, input=yaml.safe_dump(document), env=_kind_environment()
        )
        if created.returncode != 0:
            raise ToolError("kind could not create the cluster; its reason is above.")
    kubeconfig.write_text(_printed("kind", "get", "kubeconfig", f"--name={KIND_NAME}"))
    kubeconfig.chmod(0o600)
    return Cluster(
        "kind",
        f"kind cluster {KIND_NAME}",
        "Pulumi.dev.yaml",
        environment={"KUBECONFIG": str(kubeconfig)},
        configuration={
            "nginx-tracing:nodeAddress": "localhost",
            "nginx-tracing:nginx": {"nodePort": KIND_NGINX_PORT},
            "nginx-tracing:tempo": {"nodePort": KIND_TEMPO_PORT},
        },
    )


def _lacks_for_kind() -> str | None:
    """Returns why there can be no kind cluster here; None where there can."""
    for program in ("kind", "docker"):
        if shutil.which(program) is None:
            return f"`{program}` is not on PATH"
    return None if _succeeds("docker", "info") else "Docker does not answer"


def _kind_environment() -> dict[str, str]:
    # kind writes the new context into the caller's kubeconfig unless it is given another file.
    return os.environ | {"KUBECONFIG": str(STATE / "kind.kubeconfig")}


def _lab() -> Cluster:
    up = subprocess.run(
        [sys.executable, "-m", "lab", "up"], check=False, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    if up.returncode != 0:
        raise ToolError("The embedded lab is not up; the reason is above.")
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines() if line.startswith("export ")
    )
    return Cluster(
        "lab",
        "the embedded lab",
        stack_file(),
        environment={"KUBECONFIG": exports["KUBECONFIG"]},
        path=exports["PATH"].strip('"').removesuffix(":$PATH"),
    )


def remove(cluster: Cluster) -> None:
    """Removes a cluster that `acquire` created; leaves one that existed before as it is.

    Raises:
        ToolError: it could not be removed.
    """
    if not cluster.is_ours:
        return
    (STATE / "created").unlink(missing_ok=True)
    commands = {
        "lab": [sys.executable, "-m", "lab", "down"],
        "kind": ["kind", "delete", "cluster", f"--name={KIND_NAME}"],
    }
    command = commands[cluster.source]
    if subprocess.run(command, check=False, cwd=REPOSITORY, env=_kind_environment()).returncode != 0:
        raise ToolError(f"{cluster.description} could not be removed; the reason is above.")
    if cluster.source == "kind":
        (STATE / "kind.kubeconfig").unlink(missing_ok=True)


def is_reachable(cluster: Cluster) -> bool:
    """Tells whether a cluster that `acquire` created still exists; assumes it of one of the caller's own."""
    if cluster.source == "lab":
        return lab_is_running()
    if cluster.source == "kind":
        return shutil.which("kind") is not None and KIND_NAME in _printed("kind", "get", "clusters").split()
    return True


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _printed(*command: str) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout

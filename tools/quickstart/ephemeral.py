"""`make preview`: shows the objects of a stack's configuration on a cluster that exists for this alone.

It is for people and pull requests without the stack's own cluster. Every object goes to a real API server, as a dry
run. It is no preview of a change: everything is new there; and images are neither pulled nor built.
"""

import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import yaml

from components.plan.objects import NAMESPACE, STACK_ANNOTATION
from settings.errors import PROJECT
from tools.cluster import Access, ClusterApi, ClusterError
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.pulumi_cli import PulumiCli, local_backend
from tools.quickstart import clusters
from tools.quickstart.cli import provide_cli
from tools.quickstart.stack import path_for
from tools.quickstart.state import STATE

_OWN_CLUSTER = ("nginx-tracing:cluster", "nginx-tracing:namespace", "kubernetes:")
"""Starts of the keys that tie a configuration to the stack's own cluster and to its namespace, which `make up` may use
on the same cluster."""

_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def preview(name: str, arguments: list[str]) -> int:
    """Previews a stack's configuration on a cluster that is created for it, or on the one of `make up`.

    Args:
        name: the stack. Its `Pulumi.<name>.yaml` is read and not changed; its state is not read.
        arguments: more of them for `pulumi preview`.

    Returns:
        Pulumi's exit code.

    Raises:
        ToolError: there is no such file, its secrets cannot be read here, or there is no cluster.
    """
    document = configuration(REPOSITORY / f"Pulumi.{name}.yaml")
    STATE.mkdir(exist_ok=True, mode=0o700)
    # The cluster is removed also when a job is cancelled.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with clusters.ephemeral_cluster() as cluster, tempfile.TemporaryDirectory(prefix="preview-") as scratch:
        namespace = f"preview-{secrets.token_hex(4)}"
        document["config"]["nginx-tracing:namespace"] = namespace
        folder = Path(scratch)
        for entry in REPOSITORY.iterdir():
            if not (entry.name.startswith("Pulumi.") and entry.name != "Pulumi.yaml"):
                (folder / entry.name).symlink_to(entry)
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
        environment = _environment(folder, cluster, has_secrets="encryptionsalt" in document)
        provide_cli(environment["PATH"])
        created = PulumiCli(folder=folder, environment=environment).run("stack", "init", "--no-select", name)
        if created.returncode != 0:
            raise ToolError(f"Pulumi cannot use Pulumi.{name}.yaml: {created.stderr.strip()}")
        print(
            f"Cluster: {cluster.description}, not the stack's own, and the namespace {namespace}; "
            "images are neither pulled nor built.",
            flush=True,
        )
        with _namespace(cluster, namespace, mark=f"{PROJECT}/{name}"):
            cli = PulumiCli(name, folder, environment)
            return cli.show("--non-interactive", "preview", *arguments, may_ask=True, forwards_interrupt=True)


def configuration(file: Path) -> dict[str, Any]:
    """Returns a stack's configuration without the keys that tie it to its own cluster.

    Raises:
        ToolError: there is no such file, or its secrets need a passphrase that is not in the environment.
    """
    if not file.exists():
        existing = sorted(path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml"))
        raise ToolError(f"There is no {file.name}. Stacks with a file: {', '.join(existing)}.")
    try:
        document: dict[str, Any] = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise ToolError(f"{file.name} is no YAML: {error}") from error
    values: dict[str, Any] = document.get("config") or {}
    document["config"] = {key: value for key, value in values.items() if not key.startswith(_OWN_CLUSTER)}
    secret = [key for key, value in document["config"].items() if _has_secret(value)]
    if not secret:
        # Then no passphrase is needed.
        document.pop("encryptionsalt", None)
    elif "encryptionsalt" not in document:
        raise ToolError(
            f"{file.name} has secrets that only its backend decrypts: {', '.join(secret)}.\n"
            "Preview it there: pulumi preview\n"
            "or give them a passphrase: pulumi stack change-secrets-provider passphrase"
        )
    elif not set(_PASSPHRASE) & set(os.environ):
        raise ToolError(f"{file.name} has secrets ({', '.join(secret)}): export PULUMI_CONFIG_PASSPHRASE_FILE=<file>")
    return document


def _has_secret(value: object) -> bool:
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value)
        return "secure" in inner or any(map(_has_secret, inner.values()))
    return isinstance(value, list) and any(map(_has_secret, cast("list[object]", value)))


def _environment(folder: Path, cluster: clusters.Cluster, *, has_secrets: bool) -> dict[str, str]:
    backend = folder / "backend"
    backend.mkdir()
    inherited = dict(os.environ)
    if not has_secrets:
        # Pulumi asks for a passphrase, though it encrypts nothing with it.
        inherited = {key: value for key, value in inherited.items() if key not in _PASSPHRASE}
        inherited["PULUMI_CONFIG_PASSPHRASE"] = "nothing"  # noqa: S105 - protects nothing
    return inherited | local_backend(backend) | {"PATH": path_for(cluster)} | cluster.environment


@contextlib.contextmanager
def _namespace(cluster: clusters.Cluster, name: str, *, mark: str) -> Generator[None]:
    """Creates the objects' namespace and deletes it at the end: without it the API server checks none of them.

    Args:
        cluster: the cluster that gets it.
        name: its name.
        mark: the annotation's value by which the stack takes the namespace for its own.
    """
    metadata = {"name": name, "annotations": {STACK_ANNOTATION: mark}}
    with ClusterApi(Access(cluster.environment["KUBECONFIG"])) as api:
        try:
            api.create(NAMESPACE.path(None), {"apiVersion": "v1", "kind": NAMESPACE.name, "metadata": metadata})
        except ClusterError as error:
            raise ToolError(f"The namespace {name} could not be created: {error}") from error
        try:
            yield
        finally:
            try:
                api.delete(f"{NAMESPACE.path(None)}/{name}")
            except ClusterError as error:
                print(f"The namespace {name} could not be removed: {error}", file=sys.stderr)

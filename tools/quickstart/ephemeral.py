"""`make preview`: what a stack's configuration makes on a cluster that is there for this alone.

For people and pull requests without the stack's own cluster. Every object goes to a real API server, as a dry run.
Not a preview of a change: everything is new there; and images are not pulled, nor built.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import httpx2
import yaml
from lightkube import Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace

from tools.paths import REPOSITORY
from tools.quickstart import clusters
from tools.quickstart.stack import PYTHON, require_cli
from tools.quickstart.state import STATE, QuickstartError

_OWN_CLUSTER = ("nginx-tracing:cluster", "nginx-tracing:namespace", "kubernetes:")
"""What the configuration says of the stack's own cluster, and the namespace, which may be that of `make up` here."""

_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def preview(name: str, arguments: list[str]) -> int:
    """Previews a stack's configuration on a cluster that is made for it, or on the one of `make up`.

    Args:
        name: the stack, whose `Pulumi.<name>.yaml` is read, and neither changed nor its state read.
        arguments: more of them for `pulumi preview`.

    Returns:
        Pulumi's exit code.

    Raises:
        QuickstartError: no such file, secrets that cannot be read here, or no cluster.
    """
    # Imported here: `make down` needs nothing of the program.
    from components.plan.objects import STACK_ANNOTATION  # noqa: PLC0415
    from settings.errors import PROJECT  # noqa: PLC0415

    document = configuration(REPOSITORY / f"Pulumi.{name}.yaml")
    STATE.mkdir(exist_ok=True, mode=0o700)
    # What is made is removed, also when a job is cancelled.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with clusters.throw_away() as cluster, tempfile.TemporaryDirectory(prefix="preview-") as scratch:
        namespace = f"preview-{secrets.token_hex(4)}"
        document["config"]["nginx-tracing:namespace"] = namespace
        folder = Path(scratch)
        for entry in REPOSITORY.iterdir():
            if not (entry.name.startswith("Pulumi.") and entry.name != "Pulumi.yaml"):
                (folder / entry.name).symlink_to(entry)
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
        environment = _environment(folder, cluster, has_secrets="encryptionsalt" in document)
        require_cli(environment, "make preview")
        made = subprocess.run(
            ["pulumi", "--non-interactive", "stack", "init", "--no-select", name],
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise QuickstartError(f"Pulumi cannot use Pulumi.{name}.yaml: {made.stderr.strip()}")
        print(
            f"Cluster: {cluster.description}, not the stack's own, and the namespace {namespace}; "
            "images are neither pulled nor built.",
            flush=True,
        )
        with _namespace(cluster, namespace, mark={STACK_ANNOTATION: f"{PROJECT}/{name}"}):
            command = ["pulumi", "--non-interactive", "preview", f"--stack={name}", *arguments]
            started = subprocess.Popen(command, cwd=folder, env=environment)
            try:
                return started.wait()
            except KeyboardInterrupt:
                # It was interrupted as well, and ends by itself with its plugins.
                started.send_signal(signal.SIGINT)
                started.wait()
                raise


def configuration(file: Path) -> dict[str, Any]:
    """A stack's configuration without what ties it to its own cluster.

    Raises:
        QuickstartError: there is none, or its secrets are not encrypted with a passphrase that is at hand.
    """
    if not file.exists():
        there = sorted(path.name.split(".")[1] for path in REPOSITORY.glob("Pulumi.*.yaml"))
        raise QuickstartError(f"There is no {file.name}. Stacks with a file: {', '.join(there)}.")
    try:
        document: dict[str, Any] = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise QuickstartError(f"{file.name} is no YAML: {error}") from error
    values: dict[str, Any] = document.get("config") or {}
    document["config"] = {key: value for key, value in values.items() if not key.startswith(_OWN_CLUSTER)}
    secret = [key for key, value in document["config"].items() if _has_secret(value)]
    if not secret:
        # Then no passphrase is needed.
        document.pop("encryptionsalt", None)
    elif "encryptionsalt" not in document:
        raise QuickstartError(
            f"{file.name} has secrets that only its backend decrypts: {', '.join(secret)}.\n"
            "Preview it there: pulumi preview\n"
            "or give them a passphrase: pulumi stack change-secrets-provider passphrase"
        )
    elif not set(_PASSPHRASE) & set(os.environ):
        raise QuickstartError(
            f"{file.name} has secrets ({', '.join(secret)}): export PULUMI_CONFIG_PASSPHRASE_FILE=<file>"
        )
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
        # Any passphrase will do, and nothing is kept.
        inherited = {key: value for key, value in inherited.items() if key not in _PASSPHRASE}
        inherited["PULUMI_CONFIG_PASSPHRASE"] = "nothing"  # noqa: S105 - protects nothing
    own = {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PATH": os.pathsep.join(filter(None, [PYTHON, cluster.path, os.environ["PATH"]])),
    }
    return inherited | own | cluster.environment


@contextlib.contextmanager
def _namespace(cluster: clusters.Cluster, name: str, *, mark: dict[str, str]) -> Generator[None]:
    """The objects' namespace: without it the API server looks at none of them.

    Args:
        cluster: where.
        name: its name.
        mark: the annotation by which the stack takes it for its own.
    """
    client = Client(config=KubeConfig.from_file(cluster.environment["KUBECONFIG"]))
    try:
        client.create(Namespace(metadata=ObjectMeta(name=name, annotations=mark)))
    except (ApiError, httpx2.HTTPError) as error:
        raise QuickstartError(f"The namespace {name} could not be made: {error}") from error
    try:
        yield
    finally:
        try:
            client.delete(Namespace, name)
        except (ApiError, httpx2.HTTPError) as error:
            print(f"The namespace {name} could not be removed: {error}", file=sys.stderr)

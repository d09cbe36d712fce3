"""Objects that are the stack's by their label and that Pulumi does not know: what a killed `pulumi up` left."""

import json
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from previews.differences import section
from previews.digest import Digest
from previews.errors import PreviewsError

_KINDS = "configmaps,secrets,services,deployments,statefulsets,poddisruptionbudgets,networkpolicies"
_SELECTOR = "app.kubernetes.io/part-of=nginx-tracing"

Name = tuple[str, str]
"""An object's kind and name."""


@dataclass(frozen=True)
class Stranger:
    """An object that nobody will remove before the namespace goes."""

    kind: str
    name: str
    namespace: str


def known(digest: Digest) -> set[Name]:
    """The Kubernetes objects that Pulumi knows."""
    inputs = [step.old_state.inputs for step in digest.steps if step.old_state]
    return {(str(item["kind"]), str(section(item, "metadata").get("name"))) for item in inputs if "kind" in item}


def strangers(names: Collection[Name], context: str | None) -> list[Stranger]:
    """Lists them with kubectl, in the namespace of the stack; none for a stack that has no namespace.

    Args:
        names: the objects that Pulumi knows.
        context: the kubeconfig's; none for the current one.

    Raises:
        PreviewsError: they cannot be listed.
    """
    found: list[Stranger] = []
    for namespace in (name for kind, name in names if kind == "Namespace"):
        listed = _listed(namespace, context)
        pairs = [(item["kind"], item["metadata"]["name"]) for item in listed]
        found += [Stranger(kind, name, namespace) for kind, name in pairs if (kind, name) not in names]
    return found


def _listed(namespace: str, context: str | None) -> list[dict[str, Any]]:
    command = ["kubectl", "get", _KINDS, f"--selector={_SELECTOR}", f"--namespace={namespace}", "--output=json"]
    if context:
        command.append(f"--context={context}")
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise PreviewsError("`kubectl` was not found: it lists what Pulumi does not know. Put it on PATH.") from None
    if done.returncode != 0:
        raise PreviewsError(f"`{' '.join(command)}` exited with {done.returncode}.\n{done.stderr.strip()}")
    return json.loads(done.stdout)["items"]

"""Drift: what somebody changed in the cluster since Pulumi last left it.

`pulumi refresh` looks, and changes nothing. The program runs for it as well: it stops where the cluster is not the
stack's own, which would look like the loss of every object.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from previews.changes import Action, Change, changes
from previews.digest import Digest
from previews.errors import PreviewsError
from previews.strangers import Stranger, known, strangers

_REFRESH = ("pulumi", "refresh", "--preview-only", "--run-program", "--json", "--non-interactive")
_WORDS = {Action.DELETED: "is gone", Action.UPDATED: "was changed"}


@dataclass(frozen=True)
class Drift:
    """What is not as Pulumi left it."""

    changes: list[Change]
    strangers: list[Stranger]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.changes or self.strangers)


def drift(stack: str | None) -> Drift:
    """The objects that are not as Pulumi left them, and those that it left without knowing.

    Fields that Pulumi did not set, and objects that are not labelled as the stack's, are nobody's drift.

    Args:
        stack: its name; none for the one that is selected.

    Raises:
        PreviewsError: it could not be determined, with what Pulumi says of it.
    """
    option = ["--stack", stack] if stack else []
    command = [*_REFRESH, *option]
    done = _run(command)
    digest = _digest(done.stdout)
    if done.returncode != 0 or digest is None or digest.change_summary is None:
        said = [item.message for item in digest.diagnostics if item.severity == "error"] if digest else []
        reason = "\n".join(dict.fromkeys(said)).strip() or done.stderr.strip() or done.stdout.strip()
        raise PreviewsError(
            f"`{' '.join(command)}` exited with {done.returncode}; nothing is known of drift.\n{reason}"
        )
    # Without a value it fails, and kubectl takes the current one, as Pulumi does.
    context = _run(["pulumi", "config", "get", "kubernetes:context", *option]).stdout.strip()
    return Drift(changes(digest), strangers(known(digest), context or None))


def report(found: Drift, stack: str | None) -> str:
    """What drifted, for a person and for the text of an issue."""
    option = f" --stack {stack}" if stack else ""
    lines: list[str] = []
    if found.changes:
        lines.append(f"Not as Pulumi left them, {len(found.changes)} of the stack's objects:")
        for change in found.changes:
            part = f" of {change.component}" if change.component else ""
            lines.append(f"{change.kind} {change.name}{part} {_WORDS.get(change.action, change.action)}")
            if change.action == Action.UPDATED:
                lines += [f"  {line}" for line in change.details.splitlines()]
        lines += [
            # Without force a field that another program set, `kubectl scale` say, is a conflict.
            f"To put it back: PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh{option}",
            "To keep it: set it in the configuration, where there is a key for it.",
        ]
    if found.strangers:
        lines.append(f"Labelled as the stack's and not known to Pulumi, {len(found.strangers)}; to remove them:")
        lines += [
            f"kubectl delete {item.kind.lower()} {item.name} --namespace {item.namespace}" for item in found.strangers
        ]
    return "\n".join(lines)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise PreviewsError("`pulumi` was not found: install the Pulumi CLI, or put it on PATH.") from None


def _digest(text: str) -> Digest | None:
    try:
        return Digest.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        return None

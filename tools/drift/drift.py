"""Drift: what somebody changed in the cluster since Pulumi last left it.

`pulumi refresh` looks, and changes nothing. The program runs for it as well: it stops where the cluster is not the
stack's own, which would look like the loss of every object.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, Field, ValidationError

from tools.drift.kubectl import Access, context_name
from tools.drift.orphans import Stranger, known, mark, strangers
from tools.pull_request.changes import Action, Change, changes, short_name
from tools.pull_request.digest import Digest
from tools.pull_request.errors import PreviewsError

_REFRESH = ("pulumi", "refresh", "--preview-only", "--run-program", "--json", "--non-interactive")
_WORDS = {Action.DELETED: "is gone", Action.UPDATED: "was changed"}


@dataclass(frozen=True)
class Drift:
    """What is not as Pulumi left it."""

    changes: list[Change]
    strangers: list[Stranger]
    """What Pulumi does not know, claims of volumes that no replica uses included."""
    access: Access
    """How the stack's cluster is reached."""
    context: str | None
    """The context that was looked at; none where the kubeconfig chooses none."""
    in_the_making: Sequence[str] = ()
    """What Pulumi remembers as being made: by an update that is under way, or by one that was killed."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.changes or self.strangers)


def drift(stack: str | None) -> Drift:
    """The objects that are not as Pulumi left them, and those that it left without knowing.

    Fields that Pulumi did not set, and objects that are not labelled as the stack's, are nobody's drift. Neither is the
    work of an update that is under way, which a look without a lock may see: what is found is looked for once more, and
    is not drift while Pulumi's state has something under way.

    Args:
        stack: its name; none for the one that is selected.

    Raises:
        PreviewsError: it could not be determined, with what Pulumi says of it.
    """
    option = ["--stack", stack] if stack else []
    digest = _refreshed(option)
    access = Access(kubeconfig=_configured("kubeconfig", option), context=_configured("context", option))
    found = _found(digest, access) and _found(_refreshed(option), access)
    return replace(found, in_the_making=_in_the_making(option)) if found else found


class _Resource(BaseModel):
    urn: str


class _Operation(BaseModel):
    type: str
    resource: _Resource


class _Deployment(BaseModel):
    pending_operations: list[_Operation] = Field(default_factory=list[_Operation])


class _Export(BaseModel):
    """Of what `pulumi stack export` writes, what is under way; `pkg/resource/operation.go` of Pulumi 3.259."""

    deployment: _Deployment


def _in_the_making(option: Sequence[str]) -> list[str]:
    """The objects that Pulumi remembers as being made; it does so after an update that was killed as well, for ever.

    Raises:
        PreviewsError: an update is under way. After a killed one the next one ends all but the making of objects.
    """
    command = ["pulumi", "stack", "export", *option]
    done = _run(command)
    try:
        pending = _Export.model_validate_json(done.stdout).deployment.pending_operations
    except ValidationError:
        raise PreviewsError(f"`{' '.join(command)}` exited with {done.returncode}.\n{done.stderr.strip()}") from None
    others = [_name(item) for item in pending if item.type != "creating"]
    if others:
        raise PreviewsError(
            f"an update of the stack is under way, or was killed, at {', '.join(others)}; nothing is known of drift.\n"
            f"Look again when it has ended. After one that was killed: {' '.join(['pulumi', 'up', *option])}"
        )
    return [_name(item) for item in pending]


def _name(operation: _Operation) -> str:
    return " ".join(short_name(operation.resource.urn))


def _found(digest: Digest, access: Access) -> Drift:
    return Drift(changes(digest), strangers(known(digest), mark(digest), access), access, context_name(access))


def _refreshed(option: Sequence[str]) -> Digest:
    command = [*_REFRESH, *option]
    done = _run(command)
    digest = _digest(done.stdout)
    if done.returncode != 0 or digest is None or digest.change_summary is None:
        said = [item.message for item in digest.diagnostics if item.severity == "error"] if digest else []
        reason = "\n".join(dict.fromkeys(said)).strip() or done.stderr.strip() or done.stdout.strip()
        raise PreviewsError(
            f"`{' '.join(command)}` exited with {done.returncode}; nothing is known of drift.\n{reason}"
        )
    return digest


def report(found: Drift, stack: str | None) -> str:
    """What drifted, for a person and for the text of an issue."""
    claims = [item for item in found.strangers if item.is_claim]
    others = [item for item in found.strangers if not item.is_claim]
    paragraphs = [[_heading(found)]]
    option = f" --stack {stack}" if stack else ""
    if found.in_the_making:
        paragraphs.append(
            [
                f"Pulumi remembers these as being made: {', '.join(found.in_the_making)}.",
                "If an update is under way, what follows may be its work: look again when it has ended.",
                f"If one was killed, after what follows: pulumi refresh --clear-pending-creates{option}",
            ]
        )
    if found.changes:
        paragraphs.append(_changed(found.changes, option))
    if others:
        heading = f"Labelled as the stack's and not known to Pulumi, {len(others)}; to remove them"
        paragraphs.append([f"{heading}{_with_kubeconfig(found.access)}:", *_removal(others, found.access)])
    if claims:
        paragraphs.append(
            [
                f"Claims of volumes that no replica uses, {len(claims)}. They may hold spans that were never sent "
                "(otel-collector) or traces (tempo);",
                "a replica that comes back takes up its own again. "
                f"To remove them for good, with what they hold{_with_kubeconfig(found.access)}:",
                *_removal(claims, found.access),
            ]
        )
    return "\n\n".join("\n".join(lines) for lines in paragraphs)


def _heading(found: Drift) -> str:
    where = f"the context {found.context}" if found.context else "the kubeconfig, which has no current context"
    return f"Drift in the cluster of {where}."


def _changed(found: Sequence[Change], option: str) -> list[str]:
    lines = [f"Not as Pulumi left them, {len(found)} of the stack's objects:"]
    for change in found:
        part = f" of {change.component}" if change.component else ""
        lines.append(f"{change.kind} {change.name}{part} {_WORDS.get(change.action, change.action)}")
        if change.action == Action.UPDATED:
            lines += [f"  {line}" for line in change.details.splitlines()]
    return [
        *lines,
        # Without force a field that another program set, `kubectl scale` say, is a conflict.
        f"To put it back: PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh{option}",
        "To keep it: set it in the configuration, where there is a key for it.",
    ]


def _removal(found: Sequence[Stranger], access: Access) -> list[str]:
    return [
        f"kubectl delete {item.kind.lower()} {item.name} --namespace {item.namespace}{access.options()}"
        for item in found
    ]


def _with_kubeconfig(access: Access) -> str:
    # Contents may be secret, and are no option of kubectl's.
    return ", with the kubeconfig of the stack's configuration" if access.has_contents else ""


def _configured(key: str, option: Sequence[str]) -> str | None:
    """A setting of the Kubernetes provider, decrypted; none where the stack has none.

    Raises:
        PreviewsError: it could not be read. Without it another cluster might be looked at.
    """
    command = ["pulumi", "config", "get", f"kubernetes:{key}", *option]
    done = _run(command)
    if done.returncode == 0:
        return done.stdout.strip() or None
    if f"'kubernetes:{key}' not found" in done.stderr:
        return None
    raise PreviewsError(f"`{' '.join(command)}` exited with {done.returncode}.\n{done.stderr.strip()}")


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

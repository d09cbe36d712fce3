"""Finds drift: the differences between the cluster and what Pulumi last left there.

`pulumi refresh --preview-only` compares, and changes nothing. It runs the program as well, which stops where the
cluster is not the stack's own: such a cluster would look like the loss of every object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from tools.cluster import Access, ClusterApi, ClusterError, stack_access
from tools.drift.orphans import Orphan, known, mark, orphans
from tools.drift.volumes import queue_volume
from tools.errors import ToolError
from tools.pull_request.changes import Change, changes, short_name
from tools.pull_request.preview_result import PreviewResult
from tools.pulumi_cli import PulumiCli

_REFRESH = ("refresh", "--preview-only", "--run-program", "--json")


@dataclass(frozen=True)
class Drift:
    """The differences from what Pulumi left."""

    changes: list[Change]
    orphans: list[Orphan]
    """Objects that Pulumi does not know, claims of volumes that no replica uses included."""
    access: Access
    """How the stack's cluster is reached."""
    waiting: Sequence[Orphan] = ()
    """Claims of volumes that an autoscaler's next pods use. They are no drift."""
    context: str | None = None
    """The kubeconfig's context; None where it cannot be read."""
    being_created: Sequence[str] = ()
    """Objects that Pulumi's state lists as being created: by an update under way, or by one that was killed."""

    def __bool__(self) -> bool:
        """Whether there is any drift."""
        return bool(self.changes or self.orphans)


def drift(stack: str | None) -> Drift:
    """Returns the objects that differ from what Pulumi left, and those that it left without knowing.

    Fields that Pulumi did not set, and objects without the stack's label, are no drift. Neither is the work of an
    update that is under way, which a refresh without a lock may see: every finding is looked for a second time, and
    nothing counts as drift while Pulumi's state lists an operation under way.

    Args:
        stack: its name; None for the one that is selected.

    Raises:
        ToolError: drift could not be determined, with Pulumi's reason.
    """
    # Pulumi looks for the program and the stack's file from here, as it does for `pulumi up`.
    cli = PulumiCli(stack, Path.cwd())
    result = _refreshed(cli)
    access = stack_access(cli)
    found = _found(result, access) and _found(_refreshed(cli), access)
    return replace(found, being_created=_being_created(cli), context=_context(access)) if found else found


class _Resource(BaseModel):
    urn: str


class _Operation(BaseModel):
    type: str
    resource: _Resource


class _Deployment(BaseModel):
    pending_operations: list[_Operation] = Field(default_factory=list[_Operation])


class _Export(BaseModel):
    """The pending operations in the output of `pulumi stack export`; `pkg/resource/operation.go` of Pulumi 3.259."""

    deployment: _Deployment


def _being_created(cli: PulumiCli) -> list[str]:
    """Returns the objects that Pulumi's state lists as being created; after a killed update it lists them for ever.

    Raises:
        ToolError: an update is under way. A killed update may also leave other operations than creations, which the
            next `pulumi up` clears.
    """
    command = ("stack", "export")
    done = cli.run(*command)
    try:
        pending = _Export.model_validate_json(done.stdout).deployment.pending_operations
    except ValidationError:
        # Not its output, which may hold secrets.
        raise ToolError(f"`{cli.text(*command)}` exited with {done.returncode}.\n{done.stderr.strip()}") from None
    others = [_name(item) for item in pending if item.type != "creating"]
    if others:
        raise ToolError(
            f"an update of the stack is under way, or was killed, at {', '.join(others)}; nothing is known of drift.\n"
            f"Look again when it has ended. After one that was killed: {cli.text('up')}"
        )
    return [_name(item) for item in pending]


def _name(operation: _Operation) -> str:
    return " ".join(short_name(operation.resource.urn))


def _found(result: PreviewResult, access: Access) -> Drift:
    left = [_known_volume(result, item) for item in orphans(known(result), mark(result), access)]
    waiting = [item for item in left if item.queue and item.queue.is_autoscaled]
    return Drift(changes(result), [item for item in left if item not in waiting], access, waiting)


def _known_volume(result: PreviewResult, found: Orphan) -> Orphan:
    return replace(found, queue=queue_volume(result, found.namespace, found.name)) if found.is_claim else found


def _context(access: Access) -> str | None:
    try:
        with ClusterApi(access) as api:
            return api.context
    except ClusterError:
        # The program may use a kubeconfig that the tools cannot, and changes alone need no request of theirs.
        return None


def _refreshed(cli: PulumiCli) -> PreviewResult:
    done = cli.run(*_REFRESH)
    result = _result(done.stdout)
    if done.returncode != 0 or result is None or result.change_summary is None:
        said = [item.message for item in result.diagnostics if item.severity == "error"] if result else []
        reason = "\n".join(dict.fromkeys(said)).strip() or done.stderr.strip() or done.stdout.strip()
        raise ToolError(f"`{cli.text(*_REFRESH)}` exited with {done.returncode}; nothing is known of drift.\n{reason}")
    return result


def _result(text: str) -> PreviewResult | None:
    try:
        return PreviewResult.model_validate(json.loads(text))
    except (ValueError, ValidationError):
        return None

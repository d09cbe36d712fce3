"""Writes drift for a person and for the text of an issue."""

from collections.abc import Sequence

from components.plan.pods import REPLICAS
from tools.cluster import Access
from tools.drift.drift import Drift
from tools.drift.orphans import Orphan
from tools.drift.volumes import QueueVolume
from tools.pull_request.changes import Action, Change

_WORDS = {Action.DELETED: "is gone", Action.UPDATED: "was changed"}


def report(found: Drift, stack: str | None) -> str:
    """Returns the text: what drifted, and the commands that put it back, keep it or remove it."""
    claims = [item for item in found.orphans if item.is_claim]
    others = [item for item in found.orphans if not item.is_claim]
    paragraphs = [[_heading(found)]]
    option = f" --stack {stack}" if stack else ""
    if found.being_created:
        paragraphs.append(
            [
                f"Pulumi's state lists these as being created: {', '.join(found.being_created)}.",
                "If an update is under way, the findings below may be its work: look again when it has ended.",
                "If an update was killed, remove what is named below first, then: "
                f"pulumi refresh --clear-pending-creates{option}",
            ]
        )
    if found.changes:
        paragraphs.append(_changed(found.changes, option))
    if others:
        heading = f"Orphans, labelled as the stack's and not known to Pulumi: {len(others)}; to remove them"
        paragraphs.append([f"{heading}{_with_kubeconfig(found.access)}:", *_removal(others, found.access)])
    if claims:
        paragraphs.append(
            [
                f"Claims of volumes that no replica uses: {len(claims)}. They may hold spans that were never sent "
                "(otel-collector) or traces (tempo);",
                "a replica that comes back uses its own claim again. "
                f"To remove them for good, with what they hold{_with_kubeconfig(found.access)}:",
                *_removal(claims, found.access),
            ]
        )
        queues = [item.queue for item in claims if item.queue]
        if queues:
            paragraphs.append(_sending(queues, option))
    return "\n\n".join("\n".join(lines) for lines in paragraphs)


def _heading(found: Drift) -> str:
    where = f"the context {found.context}" if found.context else "the stack's kubeconfig, whose context is not known"
    return f"Drift in the cluster of {where}."


def _changed(found: Sequence[Change], option: str) -> list[str]:
    lines = [f"Objects of the stack that differ from what Pulumi left: {len(found)}."]
    for change in found:
        part = f" of {change.component}" if change.component else ""
        lines.append(f"{change.kind} {change.name}{part} {_WORDS.get(change.action, change.action)}")
        if change.action == Action.UPDATED:
            lines += [f"  {line}" for line in change.details.splitlines()]
    return [
        *lines,
        # Without force, a field that another program set, such as `kubectl scale`, is a conflict.
        f"To put it back: PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh{option}",
        "To keep it: set it in the configuration, where there is a key for it.",
    ]


def waiting(found: Drift) -> str:
    """Returns the text about volumes that an autoscaler's next pods use."""
    names = ", ".join(item.name for item in found.waiting)
    return (
        f"Claims of volumes that the autoscaler's next pods use: {names}. They hold what their pods could not send "
        "before they ended, if anything. The next pods send it."
    )


def _sending(queues: Sequence[QueueVolume], option: str) -> list[str]:
    """Returns how the spans on the volumes of Collectors that are gone are sent."""
    of, needed = queues[0].replicas, max(queue.ordinal for queue in queues) + 1
    return [
        f"To send what the volumes of {of.name} hold, make {needed} replicas until `otelcol_exporter_queue_size` is 0:",
        *(
            f"pulumi config set --path {REPLICAS[of.name]} {count}{option} && pulumi up{option}"
            for count in (needed, of.count)
        ),
    ]


def _removal(found: Sequence[Orphan], access: Access) -> list[str]:
    return [
        f"kubectl delete {item.kind.lower()} {item.name} --namespace {item.namespace}{access.options()}"
        for item in found
    ]


def _with_kubeconfig(access: Access) -> str:
    return ", with the kubeconfig of the stack's configuration" if access.has_contents else ""

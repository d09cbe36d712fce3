"""Refuses objects that exist and are not this stack's, before the program registers anything.

The provider creates objects by server-side apply, which takes over any object of the same name
(pulumi-kubernetes#2926, #4278). `pulumi destroy` then deletes it.
"""

from collections.abc import Mapping, Sequence

import pulumi

from components.cluster.api import Api
from components.cluster.kubeconfig import ApiUnavailableError, ClusterUnreachableError
from components.cluster.own_state import read_state
from components.cluster.refusal import Refusal, kubectl_options
from components.cluster.survey import contents, survey
from components.plan.objects import NAMESPACE, Kind, Planned, own_mark


async def check_ownership(wanted: Sequence[Planned], namespace: str, api: Api, *, context: str | None) -> None:
    """Stops the program if an object that the stack would make exists and is not its own.

    An object with the stack's mark is its own. An object without a mark is its own if the stack's state has its UID:
    the version before marked nothing.

    Args:
        wanted: the objects that the stack would make.
        namespace: their namespace.
        api: the API server.
        context: the kubeconfig's context, for commands; none for the current one.

    Raises:
        pulumi.RunError: names every object that is not the stack's own, or every one that `pulumi up` could not check.
    """
    try:
        surveyed = await survey(wanted, namespace, api)
    except ApiUnavailableError as error:
        return _without_answer(error)
    if surveyed.deleted_since:
        raise pulumi.RunError(
            f"the namespace {namespace} has been terminating since {surveyed.deleted_since}; nothing was changed.\n"
            f"  Wait until it is gone: kubectl wait --for=delete namespace/{namespace} --timeout=5m"
            f"{kubectl_options(context)}"
        )
    mark = own_mark()
    others = [item for item in surveyed.found if not item.is_of(mark)]
    if others:
        state = await read_state()
        foreign = [item for item in others if item.mark is not None or item.uid not in state.uids]
        if foreign:
            held: list[str] = []
            if foreign[0].planned.kind == NAMESPACE:
                held = await contents(namespace, foreign, api)
            raise pulumi.RunError(Refusal(foreign, held, mark, state, context).text())
    if surveyed.unchecked:
        _unchecked(surveyed.unchecked, wanted, namespace, context)
    return None


def _without_answer(error: ApiUnavailableError) -> None:
    """Warns in a preview, and stops an update, which might take over other people's objects."""
    preview = pulumi.runtime.is_dry_run()
    if isinstance(error, ClusterUnreachableError):
        # In a preview, `node_host` warns of it.
        if not preview:
            raise pulumi.RunError(
                f"no cluster can be reached, and nothing was created: {error}\n"
                "  Name one that is running: export KUBECONFIG=<file>, or "
                "pulumi config set kubernetes:context <context>"
            )
        return
    said = f"the program did not check whether other people's objects have the names that the stack uses: {error}"
    if not preview:
        raise pulumi.RunError(
            f"{said}\n"
            "  Nothing was changed. Give a kubeconfig with a token or a client certificate: export KUBECONFIG=<file>"
        )
    pulumi.log.warn(said)


def _unchecked(kinds: Mapping[Kind, str], wanted: Sequence[Planned], namespace: str, context: str | None) -> None:
    """Warns in a preview, and stops an update: the provider would take over objects that the program did not see."""
    lines = ["the API server does not tell whether these exist already, as somebody else's:"]
    for kind, reason in kinds.items():
        lines.append(f"  {kind.name} {', '.join(item.name for item in wanted if item.kind == kind)}: {reason}")
    lines.append("An update needs the right to get them. This tells who has it:")
    for kind in kinds:
        lines.append(f"  kubectl auth can-i get {kind.resource} --namespace {namespace}{kubectl_options(context)}")
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError("\n".join([*lines, "Nothing was changed."]))
    pulumi.log.warn("\n".join(lines))

"""Refuses objects that exist and are not this stack's, before anything is registered.

The provider creates by server-side apply, which takes over whatever has the name (pulumi-kubernetes#2926, #4278), and
`pulumi destroy` then deletes it.
"""

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.cluster.api import Api
from components.cluster.api_objects import section
from components.cluster.kubeconfig import ApiUnavailableError, ClusterUnreachableError
from components.plan.labels import PART_OF
from components.plan.objects import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
    STACK_ANNOTATION,
    STATEFUL_SET,
    Kind,
    Planned,
    own_mark,
)

CONNECTIONS = 4
"""Requests at a time. Twenty objects took 24 ms, and 14 ms of CPU time, on the lab. Eight connections, each with its
handshake, took 26 and 18 ms."""

SHOWN = 10
"""Objects of each kind that are named of what a namespace holds."""

_CONTENTS = (
    DEPLOYMENT,
    STATEFUL_SET,
    Kind("DaemonSet", "daemonsets", "apps"),
    Kind("CronJob", "cronjobs", "batch"),
    Kind("Job", "jobs", "batch"),
    POD,
    SERVICE,
    CLAIM,
    CONFIG_MAP,
    SECRET,
)
"""What a person would miss of a namespace that is deleted."""

_PUBLISHED = {"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"}
"""ConfigMaps that controllers put into each namespace."""

Metadata = Mapping[str, Any]
_NOTHING: Metadata = {}


@dataclass(frozen=True)
class Found:
    """An object that exists under a name that the stack would use."""

    planned: Planned
    namespace: str | None
    """None for the namespace itself."""
    metadata: Metadata

    @property
    def mark(self) -> str | None:
        """The stack that made it; none where it has no mark."""
        return _texts(self.metadata, "annotations").get(STACK_ANNOTATION)

    @property
    def uid(self) -> str:
        """The identifier that no other object of the cluster ever has."""
        return str(self.metadata.get("uid"))

    @property
    def title(self) -> str:
        """The kind, the name and the namespace."""
        place = f" in the namespace {self.namespace}" if self.namespace else ""
        return f"{self.planned.kind.name} {self.planned.name}{place}"

    @property
    def argument(self) -> str:
        """The object as an argument of kubectl."""
        return f"{self.planned.kind.singular}/{self.planned.name}"

    def is_of(self, mark: str) -> bool:
        """Tells whether the object is the stack's own, as far as it says so itself."""
        if self.planned.kind == CLAIM and self.mark is None:
            # Kubernetes makes claims from a template that cannot be edited, and so was never marked.
            return PART_OF.items() <= _texts(self.metadata, "labels").items()
        return self.mark == mark


@dataclass(frozen=True)
class Survey:
    """The answers of the API server."""

    found: Sequence[Found] = ()
    unchecked: Mapping[Kind, str] = field(default_factory=dict[Kind, str])
    """Kinds that it did not tell about, each with its reason."""
    deleted_since: str | None = None
    """When somebody asked for the deletion of the namespace, which is under way; none where it is not."""


async def survey(wanted: Sequence[Planned], namespace: str, api: Api) -> Survey:
    """Asks the API server for each object by its name: one request where there is no namespace yet.

    Args:
        wanted: the objects that the stack would make.
        namespace: where.
        api: the API server.

    Raises:
        ApiUnavailableError: it cannot be asked.
    """
    place = await _read(api, None, Planned(NAMESPACE, namespace))
    if place is None:
        return Survey()
    at_a_time = asyncio.Semaphore(CONNECTIONS)

    async def read(item: Planned) -> "Found | _Untold | None":
        async with at_a_time:
            return await _read(api, namespace, item)

    answers = await asyncio.gather(*(read(item) for item in wanted if item.kind != NAMESPACE))
    if any(item.kind == NAMESPACE for item in wanted):
        answers = [place, *answers]
    since = None if isinstance(place, _Untold) else place.metadata.get("deletionTimestamp")
    return Survey(
        [answer for answer in answers if isinstance(answer, Found)],
        {answer.kind: answer.reason for answer in answers if isinstance(answer, _Untold)},
        str(since) if since else None,
    )


async def contents(namespace: str, besides: Iterable[Found], api: Api) -> list[str]:
    """Names what a namespace holds, some objects of each kind.

    Args:
        namespace: its name.
        besides: objects that are named already.
        api: the API server.
    """
    known = {(item.planned.kind, item.planned.name) for item in besides}
    try:
        answers = await asyncio.gather(
            *(api.list_metadata(kind.path(namespace), limit=str(SHOWN)) for kind in _CONTENTS)
        )
    except ApiUnavailableError as error:
        return [f"what could not be read ({error})"]
    said: list[str] = []
    for kind, answer in zip(_CONTENTS, answers, strict=True):
        items: list[Metadata] = [item["metadata"] for item in answer.items]
        names = [str(item["name"]) for item in items if _is_somebody_s(item) and (kind, item["name"]) not in known]
        more: int = section(answer.body, "metadata").get("remainingItemCount", 0)
        if names:
            said.append(f"{kind.name} {', '.join(names)}{f' and {more} more' if more else ''}")
    return said


def _is_somebody_s(metadata: Metadata) -> bool:
    """Tells whether a person or a program put an object there, rather than a controller."""
    is_token = "kubernetes.io/service-account.name" in _texts(metadata, "annotations")
    return not metadata.get("ownerReferences") and metadata["name"] not in _PUBLISHED and not is_token


@dataclass(frozen=True)
class _Untold:
    kind: Kind
    reason: str


async def _read(api: Api, namespace: str | None, item: Planned) -> Found | _Untold | None:
    """An object, none where there is no such object or the cluster does not know the kind, or why it is not known."""
    answer = await api.get_metadata(f"{item.kind.path(namespace)}/{item.name}")
    if answer.is_missing:
        return None
    metadata = section(answer.body, "metadata")
    if answer.is_ok and metadata:
        return Found(item, namespace, metadata)
    return _Untold(item.kind, f"{answer.status}: {answer.message}")


async def check_ownership(wanted: Sequence[Planned], namespace: str, api: Api, *, context: str | None) -> None:
    """Stops where an object that the stack would make exists and is not its own.

    An object is its own if it has the stack's mark. One without any is its own if the stack's state has its UID: the
    version before marked nothing.

    Args:
        wanted: the objects that the stack would make.
        namespace: where.
        api: the API server.
        context: of the kubeconfig, for commands; none for the current one.

    Raises:
        pulumi.RunError: names every object that is not the stack's own, or what could not be checked by `pulumi up`.
    """
    try:
        surveyed = await survey(wanted, namespace, api)
    except ApiUnavailableError as error:
        return _untold(error)
    if surveyed.deleted_since:
        raise pulumi.RunError(
            f"the namespace {namespace} is being deleted since {surveyed.deleted_since}; nothing was changed.\n"
            f"  Wait until it is gone: kubectl wait --for=delete namespace/{namespace} --timeout=5m{_options(context)}"
        )
    mark = own_mark()
    strange = [item for item in surveyed.found if not item.is_of(mark)]
    if strange:
        state = await _state()
        foreign = [item for item in strange if item.mark is not None or item.uid not in state.uids]
        if foreign:
            held: list[str] = []
            if foreign[0].planned.kind == NAMESPACE:
                held = await contents(namespace, foreign, api)
            raise pulumi.RunError(_Refusal(foreign, held, mark, state, context).text())
    if surveyed.unchecked:
        _unchecked(surveyed.unchecked, wanted, namespace, context)
    return None


def _untold(error: ApiUnavailableError) -> None:
    """Warns in a preview, and stops an update, which might take over objects of others."""
    preview = pulumi.runtime.is_dry_run()
    if isinstance(error, ClusterUnreachableError):
        # A preview has said so by now: `node_host`.
        if not preview:
            raise pulumi.RunError(
                f"no cluster can be reached, and nothing was created: {error}\n"
                "  Name one that is running: export KUBECONFIG=<file>, or "
                "pulumi config set kubernetes:context <context>"
            )
        return
    said = f"it was not checked whether objects of others have the names that the stack uses: {error}"
    if not preview:
        raise pulumi.RunError(
            f"{said}\n"
            "  Nothing was changed. Give a kubeconfig with a token or a client certificate: export KUBECONFIG=<file>"
        )
    pulumi.log.warn(said)


def _unchecked(kinds: Mapping[Kind, str], wanted: Sequence[Planned], namespace: str, context: str | None) -> None:
    """Warns in a preview, and stops an update: the provider would take over what could not be seen."""
    lines = ["it was not checked whether these are somebody else's, since the API server does not tell:"]
    for kind, reason in kinds.items():
        lines.append(f"  {kind.name} {', '.join(item.name for item in wanted if item.kind == kind)}: {reason}")
    lines.append("An update needs the right to get them. To see who has it:")
    for kind in kinds:
        lines.append(f"  kubectl auth can-i get {kind.resource} --namespace {namespace}{_options(context)}")
    if not pulumi.runtime.is_dry_run():
        raise pulumi.RunError("\n".join([*lines, "Nothing was changed."]))
    pulumi.log.warn("\n".join(lines))


@dataclass(frozen=True)
class _State:
    """What the stack's own state knows of the cluster."""

    uids: frozenset[str] = frozenset()
    problem: str = ""
    """Why it could not be read."""


async def _state() -> _State:
    """Reads the UIDs of the objects in the stack's own state, as the last command left it.

    The engine's own function, which StackReferences are made of: it works with every backend, in previews and updates,
    and in inline programs of the Automation API. A stack of Pulumi Cloud may be in another organization than the
    default one, and a backend of files may know stacks by their plain names.
    """
    stack = pulumi.get_stack()
    names = (f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}", stack)
    problem = ""
    for name in names:
        try:
            answer: Any = await pulumi.runtime.invoke_async(
                "pulumi:pulumi:readStackResourceOutputs", {"stackName": name}
            )
        except Exception as error:
            problem = problem or str(error)
        else:
            return _State(_uids(answer["outputs"]))
    return _State(problem=problem)


def _uids(resources: Mapping[str, Any]) -> frozenset[str]:
    """The UIDs of the Kubernetes objects among a state's resources."""
    outputs: list[Metadata] = [resource.get("outputs") or _NOTHING for resource in resources.values()]
    metadata: list[Metadata] = [found for item in outputs if isinstance(found := item.get("metadata"), dict)]
    return frozenset(str(item["uid"]) for item in metadata if "uid" in item)


@dataclass(frozen=True)
class _Refusal:
    """The error about objects that are not the stack's own."""

    foreign: Sequence[Found]
    held: Sequence[str]
    """What the namespace holds, where it is among them."""
    mark: str
    state: _State
    context: str | None

    def text(self) -> str:
        one = len(self.foreign) == 1
        count = "1 object that this stack" if one else f"{len(self.foreign)} objects that this stack"
        would = f"{count} would make {'exists' if one else 'exist'} and {'is' if one else 'are'} not its own"
        problem = [f"The stack's own state could not be read: {self.state.problem}"] if self.state.problem else []
        blocks = [f"{would}; nothing was changed.", *problem, *map(self._described, self.foreign), *self._ways_on()]
        return "\n\n".join(blocks)

    def _described(self, item: Found) -> str:
        lines = [f"  {item.title}", f"    {_owner(item)}"]
        where = f" --namespace {item.namespace}" if item.namespace else ""
        if item.planned.kind == NAMESPACE:
            lines.append(f"    it holds: {'; '.join(self.held) or 'nothing'}")
            lines.append(f"    kubectl get all --namespace {item.planned.name}{self._options}")
        else:
            lines.append(f"    kubectl get {item.argument}{where} --output yaml{self._options}")
        return "\n".join(lines)

    def _ways_on(self) -> list[str]:
        namespace = self.foreign[0].namespace or self.foreign[0].planned.name
        inside = [item for item in self.foreign if item.namespace]
        has_namespace = len(inside) < len(self.foreign)
        it = "it" if len(self.foreign) == 1 else "them"
        ways = [f"Leave {it} alone: give the stack another namespace.\n    pulumi config set namespace <name>"]
        if not inside:
            ways.append(
                "Use the namespace as it is: the stack neither labels nor deletes it.\n"
                "    pulumi config set createNamespace false"
            )
        known = [item for item in self.foreign if item.mark is not None and item.uid in self.state.uids]
        renamed = "If the stack or its project was renamed, since its state knows them: give" if known else "Give"
        everything = "the namespace with everything in it" if has_namespace else it
        every = " ".join(item.argument for item in self.foreign)
        ways.append(
            f"{renamed} {it} to this stack, which then changes {it} and, at `pulumi destroy`, deletes {everything}.\n"
            f"    kubectl annotate --overwrite --namespace {namespace} {every} "
            f"{shlex.quote(f'{STACK_ANNOTATION}={self.mark}')}{self._options}\n"
            # The fields that the stack sets have another manager, which the API server calls a conflict.
            "    PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up"
        )
        unused = [item for item in inside if not _is_managed(item)]
        if unused:
            others = " ".join(item.argument for item in unused)
            ways.append(
                f"Delete {'it, if it is' if len(unused) == 1 else 'them, if they are'} yours and not in use.\n"
                f"    kubectl delete --namespace {namespace} {others}{self._options}"
            )
        return ways

    @property
    def _options(self) -> str:
        return _options(self.context)


_OWNERS = (
    ("annotations", STACK_ANNOTATION, "belongs to the stack {} of this program"),
    ("annotations", "meta.helm.sh/release-name", "belongs to the Helm release {}"),
    ("annotations", "argocd.argoproj.io/tracking-id", "belongs to Argo CD: {}"),
    ("labels", "argocd.argoproj.io/instance", "belongs to the Argo CD application {}"),
    ("labels", "kustomize.toolkit.fluxcd.io/name", "belongs to the Flux Kustomization {}"),
    ("labels", "helm.toolkit.fluxcd.io/name", "belongs to the Flux HelmRelease {}"),
    ("labels", "olm.owner", "belongs to the operator {}"),
    ("labels", "app.kubernetes.io/managed-by", "is managed by {}"),
    ("labels", "helm.sh/chart", "is of the Helm chart {}"),
)
"""Where the usual tools write whose an object is; the first that is there is told."""


def _marked(item: Found) -> list[str]:
    """Says whose an object is by the first mark of a tool that it has."""
    values = [(words, _texts(item.metadata, part).get(key)) for part, key, words in _OWNERS]
    return [words.format(value) for words, value in values if value is not None][:1]


def _is_managed(item: Found) -> bool:
    """Tells whether a tool or a controller has the object, which would miss it or make it again."""
    return bool(_marked(item) or item.metadata.get("ownerReferences"))


def _owner(item: Found) -> str:
    """Says whose an object is, by its marks and by the field managers that wrote it."""
    metadata, said = item.metadata, _marked(item)
    owners: list[Metadata] = metadata.get("ownerReferences") or []
    said += [f"belongs to {owner['kind']} {owner['name']}" for owner in owners]
    if not said and PART_OF.items() <= _texts(metadata, "labels").items():
        said = ["is labelled as nginx-tracing's and has no stack's mark, as the version before left it"]
    # Controllers write a status; the others wrote what the object is.
    writers: list[Metadata] = metadata.get("managedFields") or []
    managers = {str(entry.get("manager")): None for entry in writers if not entry.get("subresource")}
    if managers:
        said.append(f"was written by {', '.join(managers)}")
    return "; ".join(said) or "has no mark of an owner"


def _texts(metadata: Metadata, part: str) -> Mapping[str, str]:
    return metadata.get(part) or {}


def _options(context: str | None) -> str:
    """The options with which kubectl looks at the same cluster; contents of a kubeconfig may be secret."""
    return f" --context {shlex.quote(context)}" if context else ""

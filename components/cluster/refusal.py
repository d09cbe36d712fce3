"""Writes the error about objects that are not the stack's own: their owners, and the commands that help."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from components.cluster.own_state import State
from components.cluster.survey import Found, Metadata, texts
from components.plan.labels import is_part_of
from components.plan.objects import NAMESPACE, STACK_ANNOTATION


@dataclass(frozen=True)
class Refusal:
    """The objects that are not the stack's own, and what the error about them needs to know."""

    foreign: Sequence[Found]
    held: Sequence[str]
    """The texts about what the namespace holds, if it is among the objects."""
    mark: str
    state: State
    context: str | None

    def text(self) -> str:
        """Returns the error: each object with its owner, and the commands that a person can choose from."""
        one = len(self.foreign) == 1
        count = "1 object that this stack" if one else f"{len(self.foreign)} objects that this stack"
        would = f"{count} would make {'exists' if one else 'exist'} and {'is' if one else 'are'} not its own"
        problem = (
            [f"The program could not read the stack's own state: {self.state.problem}"] if self.state.problem else []
        )
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
            # The stack sets fields that another manager has set, which the API server calls a conflict.
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
        return kubectl_options(self.context)


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
"""The places where the usual tools write whose an object is. The error names the first that an object has."""


def _marked(item: Found) -> list[str]:
    """Returns the text about an object's first mark of a tool; none without a mark."""
    values = [(words, texts(item.metadata, part).get(key)) for part, key, words in _OWNERS]
    return [words.format(value) for words, value in values if value is not None][:1]


def _is_managed(item: Found) -> bool:
    """Tells whether a tool or a controller manages the object, and would miss it or make it again."""
    return bool(_marked(item) or item.metadata.get("ownerReferences"))


def _owner(item: Found) -> str:
    """Returns the text about an object's owner: its marks, and the field managers that wrote it."""
    metadata, said = item.metadata, _marked(item)
    owners: list[Metadata] = metadata.get("ownerReferences") or []
    said += [f"belongs to {owner['kind']} {owner['name']}" for owner in owners]
    if not said and is_part_of(texts(metadata, "labels")):
        said = ["has the label of nginx-tracing, and no stack's mark: the version before set none"]
    # Controllers write the status. The other managers wrote the object itself.
    writers: list[Metadata] = metadata.get("managedFields") or []
    managers = {str(entry.get("manager")): None for entry in writers if not entry.get("subresource")}
    if managers:
        said.append(f"was written by {', '.join(managers)}")
    return "; ".join(said) or "has no mark of an owner"


def kubectl_options(context: str | None) -> str:
    """Returns kubectl's options for the same cluster. It leaves out a kubeconfig, whose contents may be secret."""
    return f" --context {shlex.quote(context)}" if context else ""

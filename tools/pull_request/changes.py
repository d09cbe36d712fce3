"""Lists the changes of a preview: the resources that it creates, updates, replaces and deletes, and the data lost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tools.pull_request.differences import GENERATED_NAME, Object, as_yaml, difference, is_auto_named, section, showable
from tools.pull_request.preview_result import PreviewResult, State, Step

_LOSSES = {
    "Namespace": "everything in it is deleted with it, and its data is lost",
    "PersistentVolumeClaim": "the data on its volume is lost, unless the volume's reclaim policy keeps it",
    "StatefulSet": "its pods' data is lost, except on claims that its retention policy keeps",
}
_VERSIONED = {"ConfigMap", "Secret", "NetworkPolicy"}


class Action(StrEnum):
    """A change of a resource, by the comment's word for it."""

    DELETED = "deleted"
    REPLACED = "replaced"
    UPDATED = "updated"
    NEW_VERSION = "new version"
    CREATED = "created"


@dataclass(frozen=True)
class Change:
    """The change of one resource."""

    action: Action
    kind: str
    name: str
    component: str
    """The component that the resource belongs to, such as `NginxOtel`; empty for the stack's own resources."""
    reasons: tuple[str, ...] = ()
    """The fields that cannot be changed in place."""
    loss: str = ""
    """The data that is lost with the resource."""
    details: str = ""
    """The differences as a diff, or a new object as YAML; empty where there is nothing to show."""

    @property
    def is_dangerous(self) -> bool:
        """Whether an object that exists is removed."""
        return self.action in (Action.DELETED, Action.REPLACED)


def changes(result: PreviewResult) -> list[Change]:
    """Returns the changes of a preview, the most important ones first."""
    steps = [step for step in result.steps if step.op in _READERS]
    later_names = set(_generated_names(steps))
    found = [_READERS[step.op](step, later_names) for step in steps]
    return sorted(found, key=lambda change: (_ORDER.index(change.action), change.kind, change.name))


def short_name(urn: str) -> tuple[str, str]:
    """Returns a resource's kind and name from `urn:pulumi:stack::project::parent's type$type::name`."""
    parts = urn.split("::", 3)
    if len(parts) < 4:
        return "resource", urn
    return parts[2].rsplit("$", 1)[-1].rsplit(":", 1)[-1], parts[3]


_ORDER = list(Action)


def _generated_names(steps: Iterable[Step]) -> Iterable[str]:
    """Yields names with a random end. Each preview generates others, so they are nothing to compare with."""
    for step in steps:
        new = _inputs(step.new_state)
        name = section(new, "metadata").get("name")
        if step.op != "update" and is_auto_named(new) and isinstance(name, str) and GENERATED_NAME.fullmatch(name):
            yield name


def _deleted(step: Step, _: set[str]) -> Change:
    kind, name, component = _identity(step)
    return Change(Action.DELETED, kind, name, component, loss=_LOSSES.get(kind, ""))


def _replaced(step: Step, later_names: set[str]) -> Change:
    kind, name, component = _identity(step)
    reasons = tuple(step.replace_reasons)
    if _is_new_version(step, kind):
        return Change(Action.NEW_VERSION, kind, name, component, reasons, details=_details(step, later_names))
    loss = _LOSSES.get(kind, "")
    return Change(Action.REPLACED, kind, name, component, reasons, loss, _details(step, later_names))


def _updated(step: Step, later_names: set[str]) -> Change:
    kind, name, component = _identity(step)
    return Change(Action.UPDATED, kind, name, component, details=_details(step, later_names))


def _created(step: Step, later_names: set[str]) -> Change:
    kind, name, component = _identity(step)
    _, new = showable({}, _inputs(step.new_state), later_names)
    return Change(Action.CREATED, kind, name, component, details=as_yaml(new) if new else "")


# The steps that a deployment's summary counts. Other steps are parts of these, or only read.
_READERS: dict[str, Callable[[Step, set[str]], Change]] = {
    "delete": _deleted,
    "replace": _replaced,
    "update": _updated,
    "create": _created,
    "import": _created,
}


def _is_new_version(step: Step, kind: str) -> bool:
    """Tells whether the new object exists under its own name before the old one is deleted, so that pods find either.

    An object in another namespace is no version of the old one: the pods there cannot use it.
    """
    inputs = _inputs(step.old_state), _inputs(step.new_state)
    is_moved = any(reason.startswith("metadata") for reason in step.replace_reasons)
    return kind in _VERSIONED and not is_moved and all(is_auto_named(one) for one in inputs)


def _details(step: Step, later_names: set[str]) -> str:
    old, new = showable(_inputs(step.old_state), _inputs(step.new_state), later_names)
    if is_auto_named(_inputs(step.new_state)):
        old, new = _without_name(old), _without_name(new)
    return difference(old, new, step.detailed_diff) or "! nothing that differs is among its inputs"


def _without_name(inputs: Object) -> Object:
    metadata: Object = {key: value for key, value in section(inputs, "metadata").items() if key != "name"}
    return {**inputs, "metadata": metadata}


def _identity(step: Step) -> tuple[str, str, str]:
    state = step.old_state or step.new_state or State()
    kind, name = short_name(step.urn)
    own_name = section(state.inputs, "metadata").get("name")
    if isinstance(own_name, str) and not is_auto_named(state.inputs):
        name = own_name
    parent, _ = short_name(state.parent)
    return kind, name, "" if not state.parent or parent == "Stack" else parent


def _inputs(state: State | None) -> Object:
    return state.inputs if state else {}

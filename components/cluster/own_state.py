"""Reads the stack's own state: the UIDs of its objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.cluster.survey import Metadata

_NOTHING: Metadata = {}


@dataclass(frozen=True)
class State:
    """The stack's own state, as far as the check of ownership needs it."""

    uids: frozenset[str] = frozenset()
    problem: str = ""
    """Why the program could not read it."""


async def read_state() -> State:
    """Reads the UIDs of the objects in the stack's own state, as the last command left it.

    It calls the engine's function that StackReferences use. The function works with every backend, in previews and
    updates, and in inline programs of the Automation API. A stack of Pulumi Cloud may be in another organization than
    the default one, and a backend of files may know stacks by their plain names.
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
            return State(_uids(answer["outputs"]))
    return State(problem=problem)


def _uids(resources: Mapping[str, Any]) -> frozenset[str]:
    """Returns the UIDs of the Kubernetes objects among a state's resources."""
    outputs: list[Metadata] = [resource.get("outputs") or _NOTHING for resource in resources.values()]
    metadata: list[Metadata] = [found for item in outputs if isinstance(found := item.get("metadata"), dict)]
    return frozenset(str(item["uid"]) for item in metadata if "uid" in item)

"""Selects the program's objects by its labels, in the words of the Kubernetes API."""

from collections.abc import Mapping

from components.plan.labels import PART_OF, own_labels


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{label}={value}" for label, value in labels.items())


STACK_OBJECTS = _selector(PART_OF)
"""Every object of the program's stacks."""


def component_objects(component: str) -> str:
    """Returns the selector of a component's objects."""
    return _selector(own_labels(component))

"""The components' names, and the labels that their objects are known by."""

from settings.stack import NAME_LABEL, PART_OF_LABEL

NGINX = "nginx"
COLLECTOR = "otel-collector"
TEMPO = "tempo"
COMPONENTS = (NGINX, COLLECTOR, TEMPO)
"""The components: the names of their objects, and what their pods are selected by."""

PART_OF = {PART_OF_LABEL: "nginx-tracing"}
"""What every object of a stack is labelled with."""


def own_labels(component: str) -> dict[str, str]:
    """The labels of a component's objects that selectors are made of."""
    return {NAME_LABEL: component, **PART_OF}

"""Selects the counters of the stack's pods for dashboards."""

from collections.abc import Sequence

from tools.dashboards.panels import Json, promql

OWN = 'app_kubernetes_io_part_of="nginx-tracing"'
"""The label of the stack's pods, as in monitoring/alerts.yaml."""

SELECTED = f'{OWN}, namespace=~"$namespace"'
RATE = "[$__rate_interval]"
"""The range of rates."""


def rate(counter: str, by: Sequence[str] = ("pod",), name: str = "", only: str = "") -> Json:
    """Returns the rate of a counter by labels.

    Args:
        counter: the counter.
        by: the labels, which the legend shows.
        name: what the legend shows before them.
        only: matchers besides those of the stack's pods.
    """
    selected = f"{SELECTED}, {only}" if only else SELECTED
    legend = " ".join([*([f"{name}:"] if name else []), *(f"{{{{{label}}}}}" for label in by)])
    return promql(f"sum by ({', '.join(by)}) (rate({counter}{{{selected}}}{RATE}))", legend)

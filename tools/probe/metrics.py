"""Parses pages in the Prometheus text format into samples by name and labels.

`prometheus_client` has a parser too, which raises ValueError at a line that it does not know. The pages are those of
programs of several versions, and the probe needs a few counters of them: here such a line counts as none of these.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from tools.probe.names import COUNTED_PROCESSORS, COUNTED_TWICE, RENAMED, TO_TEMPO

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_KEPT = {"exporter", "reason"}
"""The labels that tell losses apart. A metric is summed over all others, such as tenants and receivers."""


class Series(NamedTuple):
    """A metric's name and those of its labels that tell losses apart."""

    name: str
    labels: frozenset[tuple[str, str]] = frozenset()

    def label(self, name: str) -> str | None:
        """Returns a label's value; None where the series does not have the label."""
        return dict(self.labels).get(name)

    @property
    def other_exporter(self) -> str | None:
        """The Collector's exporter that counted, unless it is the one to the stack's own Tempo.

        Other exporters get the same spans once more, so their numbers are kept apart.
        """
        exporter = self.label("exporter")
        return None if exporter in TO_TEMPO else exporter


Samples = dict[Series, float]


def parse_metrics(text: str, names: Collection[str]) -> Samples:
    """Returns the named metrics of a page, summed over all labels but `exporter` and `reason`."""
    samples: Samples = defaultdict(float)
    for name, labels, value in _parsed(text):
        if name in names and not COUNTED_TWICE.fullmatch(labels.get("exporter", "")):
            samples[Series(name, frozenset((key, labels[key]) for key in _KEPT & labels.keys()))] += value
    return dict(samples)


def total(samples: Mapping[Series, float], name: str) -> float:
    """Returns the sum of a metric over all its series but those of exporters other than the one to Tempo."""
    return sum(value for series, value in samples.items() if series.name == name and series.other_exporter is None)


def _parsed(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yields each sample of a page: its name, the newest if versions differ, its labels and its value.

    The name of a processor's own counter has the processor in it.
    """
    for line in text.splitlines():
        if match := _SAMPLE.match(line):
            labels = {key: _ESCAPE.sub(_unescaped, value) for key, value in _LABEL.findall(match["labels"] or "")}
            name = RENAMED.get(match["name"], match["name"])
            if (processor := labels.get("processor")) in COUNTED_PROCESSORS:
                name += f'{{processor="{processor}"}}'
            yield name, labels, float(match["value"])


def _unescaped(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]

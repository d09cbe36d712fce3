"""Reads the load that a stack is sized for from the command line, and reports every wrong argument in one go."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from components.documents.tempo import LATENESS
from settings.sizes import RECEIVER, SENT_BYTES
from settings.tempo import Flush
from settings.types import Duration, seconds

STORAGES = ("local", "s3", "gcs", "azure")

LARGEST_TRACE = 90_000_000
"""Bytes: the largest trace that was measured (`large-traces` in docs/explanation/measurements.json)."""

LARGEST_LOAD = 10**12
"""Bytes a second with the headroom. Our choice: four hundred times what a-million-requests-a-second.md plans. Beyond
10^15 the numbers of pods are larger than Kubernetes takes."""

_POLL = Flush().blocklist_poll
_DURATION: TypeAdapter[str] = TypeAdapter(Duration)


class WrongArgumentsError(Exception):
    """Holds a message for each wrong argument."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True)
class Load:
    """The load at its busiest time, and what is wanted."""

    requests: float
    """A second."""

    spans_per_request: float
    span_bytes: int
    """Bytes of a span as Tempo gets it."""

    sampling: float
    """The share of the requests that is traced."""

    average: float
    """The average load, as a share of the busiest time's."""

    headroom: float
    """By how much the load may grow, as a share of it."""

    retention: str
    outage: str
    """How long the Collectors keep spans for a Tempo that is away."""

    storage: str | None
    """Where the blocks go; None: the answer decides."""

    def grown(self) -> "Load":
        """Returns the load that the parts are sized for: this one and its headroom."""
        return replace(self, requests=self.requests * (1 + self.headroom), headroom=0.0)

    @property
    def traced(self) -> float:
        """Traced requests a second."""
        return self.requests * self.sampling

    @property
    def spans(self) -> float:
        """Spans a second that Tempo gets."""
        return self.traced * self.spans_per_request

    @property
    def makes_upstream_spans(self) -> bool:
        """Whether one of a request's spans is the upstream's, which the Collector makes."""
        return self.spans_per_request >= 2

    @property
    def exported(self) -> float:
        """Spans a second that the Collectors get: all but those that they make."""
        return self.spans - (self.traced if self.makes_upstream_spans else 0)

    @property
    def megabytes(self) -> float:
        """MB a second that Tempo gets."""
        return self.spans * self.span_bytes / 1e6


def _number(least: str, most: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        found = re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII)
        if not found or not Decimal(least) <= Decimal(text) <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most}")
        return float(text)

    return read


def _ratio(text: str) -> float:
    share = _number("0.0001", "1")(text)
    if Decimal(text) % Decimal("0.0001"):
        raise ValueError("must be in steps of 0.0001, as `nginx.sampling.ratio`")
    return share


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _duration(least: str, most: str, why: str = "") -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            duration = _DURATION.validate_python(text)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        if not seconds(least) <= seconds(duration) <= seconds(most):
            raise ValueError(f"must be from {least} to {most}{why}")
        return duration

    return read


def _storage(text: str) -> str:
    if text not in STORAGES:
        raise ValueError(f"must be one of {', '.join(STORAGES)}")
    return text


@dataclass(frozen=True)
class _Option:
    metavar: str
    read: Callable[[str], Any]
    default: str | None
    """As it would be written. None: it must be given, or the answer decides."""

    meaning: str
    is_required: bool = False


_OPTIONS: Mapping[str, _Option] = {
    # Our choice: a hundred times what docs/explanation/a-million-requests-a-second.md plans.
    "requests": _Option(
        "N", _number("1", "100000000"), None, "requests a second at the busiest time", is_required=True
    ),
    "spans_per_request": _Option(
        "N",
        _number("1", "10000"),
        "2",
        "spans of a traced request, those of applications included. From 2 on, one is the upstream's, which the "
        "Collector makes",
    ),
    "span_bytes": _Option(
        "BYTES",
        _whole(100, RECEIVER),
        str(SENT_BYTES),
        "size of a span as Tempo gets it; the default is NGINX's with old and stable names",
    ),
    "sampling": _Option("SHARE", _ratio, "1", "share of the requests that is traced, in steps of 0.0001"),
    "average": _Option(
        "SHARE", _number("0.001", "1"), "1", "average load as a share of the busiest time's; the storage follows it"
    ),
    # Our choice: beyond it, size the larger load itself.
    "headroom": _Option("SHARE", _number("0", "10"), "0.3", "by how much the load may grow: 0.3 is 30 %% more"),
    "retention": _Option(
        "DURATION",
        _duration(_POLL, "87600h", ": Tempo looks at its storage every " + _POLL),
        "336h",
        "how long traces are kept",
    ),
    "outage": _Option(
        "DURATION",
        _duration("1s", LATENESS, ": Tempo finds spans that come later by their trace's ID alone"),
        "10m",
        "how long the Collectors' volumes hold all spans while Tempo is away",
    ),
    "storage": _Option(
        "TYPE", _storage, None, "where the blocks go: local, s3, gcs or azure (default: the answer decides)"
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments to a parser, as texts that `read` checks together."""
    for name, option in _OPTIONS.items():
        told = " (required)" if option.is_required else f" (default: {option.default})" if option.default else ""
        parser.add_argument(_flag(name), metavar=option.metavar, help=f"{option.meaning}{told}")


def read(given: Mapping[str, str | None], unknown: Sequence[str] = ()) -> Load:
    """Returns the load.

    Args:
        given: the texts of the arguments, by their names in `Load`; None for one that is not given.
        unknown: what no argument is.

    Raises:
        WrongArgumentsError: some are wrong; it names each, and what is allowed.
    """
    messages, values = [f"{text}: is no argument; --help lists them" for text in unknown], dict[str, Any]()
    for name, option in _OPTIONS.items():
        text = given.get(name) if given.get(name) is not None else option.default
        try:
            if text is None and option.is_required:
                raise ValueError("is required: " + option.meaning)
            values[name] = option.read(text) if text is not None else None
        except ValueError as error:
            messages.append(f"{_flag(name)}{'' if text is None else ' ' + text}: {error}")
    if {"spans_per_request", "span_bytes"} <= values.keys():
        trace = values["spans_per_request"] * values["span_bytes"]
        if trace > LARGEST_TRACE:
            most = f"at most {LARGEST_TRACE / 1e6:.0f} MB was measured"
            messages.append(f"--spans-per-request, --span-bytes: make traces of {trace / 1e6:.0f} MB; {most}")
    if messages:
        raise WrongArgumentsError(messages)
    load = Load(**values)
    if load.grown().megabytes * 1e6 > LARGEST_LOAD:
        written = f"{load.grown().megabytes / 1e6:.1f} TB/s with the headroom; at most {LARGEST_LOAD / 1e12:.0f} TB/s"
        raise WrongArgumentsError([f"--requests, --spans-per-request, --span-bytes: make {written} is planned"])
    return load


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")

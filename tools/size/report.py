"""Writes an answer as a stack's file: the configuration, and everything else as comments."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import yaml

from settings import Settings
from settings.errors import PROJECT
from settings.limit_table import hops
from settings.sizes import WORKERS
from settings.types import seconds
from tools.size.arguments import Load
from tools.size.figures import (
    COLLECTOR_SIZE,
    COLLECTOR_SPANS,
    MONOLITHIC_MEGABYTES,
    NGINX_SIZE,
    PLAIN,
    PROXIED,
    RATES,
    STORED,
    TEMPO_MODES,
    TEMPO_SIZE,
)
from tools.size.parts import Pods
from tools.size.plan import Key, Plan
from tools.size.storage import DAY

_WIDTH = 118
"""Columns of a comment. Our choice."""

_PODS = "What each pod sees at the busiest time; what it uses, and what is reserved for it, both with the headroom"

_HOPS = ("NGINX → Collector", "Collector → Tempo", "Tempo: a push at once", "Tempo: a trace")
"""The limits of size that are shown, by their names in docs/reference/limits.md."""


def report(plan: Plan) -> str:
    """Returns the text of an answer."""
    lines = [
        *_comment(_title(plan)),
        "",
        *_table("Where one of each ends", _ends(plan)),
        "config:",
        *_configuration(plan),
        "",
        *_table(_PODS, _pods(plan)),
        *_table("Storage", _storage(plan)),
        *_section("Limits that follow", _limits(plan)),
        *_section("Where the figures are from", _sources(plan)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _title(plan: Plan) -> str:
    load = plan.load
    room = f"for {_number(100 * load.headroom)} % more" if load.headroom else "for that, without a headroom"
    sampled = "" if load.sampling == 1 else f", {_number(100 * load.sampling)} % of them traced"
    return (
        f"{_number(load.requests)} requests/s{sampled}, {_number(load.spans_per_request)} spans each of "
        f"{load.span_bytes} bytes: {_number(load.spans)} spans/s, {load.megabytes:.1f} MB/s. "
        f"Everything is sized {room}."
    )


def _ends(plan: Plan) -> list[Sequence[str]]:
    grown, nginx, collectors, tempo = plan.load.grown(), plan.nginx, plan.collectors, plan.tempo
    largest = plan.figures.largest_rate
    collector = "measured" if collectors.is_measured else f"quoted: {_number(COLLECTOR_SPANS)} spans/s that come in"
    return [
        ("one", "ends at", "the load with its headroom", "so there are", "by"),
        (
            "monolithic Tempo",
            f"{_number(tempo.ends)} spans/s, {tempo.ends * plan.load.span_bytes / 1e6:.0f} MB/s",
            f"{_number(grown.spans)} spans/s, {grown.megabytes:.1f} MB/s",
            "parts of a distributed one" if tempo.is_distributed else "one",
            f"quoted: {MONOLITHIC_MEGABYTES:.0f}-35 MB/s; measured here up to {largest.megabytes:.1f} MB/s",
        ),
        (
            "Collector",
            f"{_number(collectors.ends)} spans/s a core",
            f"{_number(grown.spans)} spans/s",
            f"{collectors.replicas}, each up to {_cores(collectors.core_limit)}",
            collector,
        ),
        (
            "NGINX",
            f"{_number(nginx.ends)} requests/s, {WORKERS} workers",
            f"{_number(grown.requests)} requests/s",
            str(nginx.replicas),
            f"quoted: {plan.figures.nginx_cpu} CPU seconds a million proxied requests with full cores, the official "
            "module",
        ),
    ]


def _configuration(plan: Plan) -> Iterator[str]:
    reasons = {key.place: key for key in plan.keys}
    for component, keys in plan.configuration.items():
        yield f"  {PROJECT}:{component}:"
        yield from _keys(keys, (component,), reasons, "    ")


def _keys(
    keys: Mapping[str, Any], around: tuple[str, ...], reasons: Mapping[tuple[str, ...], Key], indent: str
) -> Iterator[str]:
    for name, value in keys.items():
        place = (*around, name)
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _keys(cast("dict[str, Any]", value), place, reasons, indent + "  ")
        else:
            yield from _comment(reasons[place].reason, f"{indent}# ", f"{indent}# ")
            written = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            yield f"{indent}{name}: {written}"


def _pods(plan: Plan) -> list[Sequence[str]]:
    load, nginx, collectors, tempo = plan.load, plan.nginx, plan.collectors, plan.tempo
    fullest = replace(collectors, replicas=1, cores=collectors.core_limit, use=collectors.fullest_use)
    rows: list[Sequence[str]] = [
        ("pod", "pods", "requests/s", "spans/s", "MB/s", "uses cores", "and memory", "gets cores", "and memory"),
        ("NGINX", *_pod(nginx, load, spans=load.traced, requests=load.requests)),
        ("Collector, an even share", *_pod(collectors, load, spans=load.spans)),
        ("Collector, the fullest", *_pod(fullest, load, spans=collectors.fullest * load.spans)),
    ]
    kinds: list[Pods] = [nginx, collectors, *(tempo.parts or [tempo])]
    if tempo.is_distributed:
        copies = {"distributor": 1, "ingester": 3, "metrics-generator": 1}
        for part in tempo.parts:
            spans = load.spans * copies.get(part.name, 0)
            rows.append((f"Tempo: {part.name}", *_pod(part, load, spans=spans)))
    else:
        rows.append(("Tempo", *_pod(tempo, load, spans=load.spans)))
    cores, memory = (sum(each.replicas * getattr(each, what) for each in kinds) for what in ("cores", "memory"))
    return [
        *rows,
        ("all", str(sum(each.replicas for each in kinds)), "", "", "", "", "", f"{cores:.1f}", _bytes(memory)),
    ]


def _pod(pods: Pods, load: Load, *, spans: float, requests: float = 0) -> Sequence[str]:
    """Returns the cells of pods that share some spans and requests a second."""
    return (
        str(pods.replicas),
        _number(requests / pods.replicas) if requests else "",
        _number(spans / pods.replicas) if spans else "",
        f"{spans * load.span_bytes / 1e6 / pods.replicas:.2f}" if spans else "",
        f"{pods.use.cores:.{2 if pods.use.cores >= 0.1 else 3}f}" if pods.use else "",
        _bytes(pods.use.memory) if pods.use and pods.use.memory else "",
        f"{pods.cores:.2f}",
        _bytes(pods.memory),
    )


def _storage(plan: Plan) -> list[Sequence[str]]:
    kept, load = plan.storage, plan.load
    where = "Tempo's volume" if kept.kind == "local" else f"the bucket ({kept.kind})"
    average = "" if load.average == 1 else f", at an average load of {_number(100 * load.average)} %"
    merged = "; three copies of the traces until the compactors have merged them" if plan.tempo.is_distributed else ""
    return [
        ("what", "how much", "why"),
        ("a span", f"{kept.span_bytes:.0f} bytes", "measured: in blocks, twice, for `tempo.traceqlMetrics`"),
        ("written a day", _bytes(kept.a_second * DAY), f"{_number(load.spans * load.average)} spans/s{average}"),
        ("written a year", _bytes(kept.a_year), "what a retention of a year would keep"),
        (f"kept for {load.retention}", _bytes(kept.kept), f"in {where}; from then on as much goes as comes{merged}"),
        ("kept with the headroom", _bytes(kept.grown), f"after the load has grown by {_number(100 * load.headroom)} %"),
        ("on Tempo's disk besides", _bytes(kept.working), "the log, and blocks that Tempo keeps for up to an hour"),
    ]


def _limits(plan: Plan) -> Iterator[str]:
    settings, load = Settings.model_validate(plan.configuration), plan.load
    for hop in hops(settings):
        if hop.way in _HOPS:
            yield f"{hop.way}: sends at most {hop.sends}; takes {hop.takes}. Beyond that: {hop.beyond}"
    yield (
        f"A Collector hangs: each worker of NGINX holds the spans of {plan.nginx.held_seconds:.1f} s, and drops those "
        "that come after"
    )
    takes = settings.tempo.ingestion.bytes_per_second / 1e6
    yield (
        f"Tempo, or each of its distributors, takes {takes:.0f} MB/s (`tempo.ingestion.bytesPerSecond`); beyond that "
        "the Collectors send again"
    )
    if load.headroom:
        caught_up = float(seconds(load.outage)) / load.headroom
        yield f"Tempo was away for {load.outage}: what waited is sent within {_time(caught_up)} at the busiest time"
    else:
        yield f"Tempo was away for {load.outage}: without a headroom, what waited is sent once the load is lower"


def _sources(plan: Plan) -> Iterator[str]:
    measured = plan.figures.sources
    yield f"measured, bytes on the disk, CPU time and memory of the Collector and Tempo: {measured[STORED].text}"
    yield (
        f"quoted, {plan.figures.nginx_cpu} CPU seconds of NGINX for a million proxied requests, from the run of the "
        f"official module: {measured[PROXIED].text}"
    )
    yield f"measured, what a request takes an NGINX that is not busy: {measured[RATES].text}"
    yield (
        f"beside it, measured: {plan.figures.lab_cpu} s for requests that NGINX answers itself: {measured[PLAIN].text}"
    )
    for source in (TEMPO_MODES, TEMPO_SIZE, COLLECTOR_SIZE, NGINX_SIZE):
        yield f"{source.kind}: {source.text}"
    yield "Another machine, other answers and longer requests need other figures: measure yours before you rely on them"


def _section(head: str, lines: Iterable[str]) -> list[str]:
    """Returns lines of text below a head, as comments."""
    return [f"# {head}", *(part for line in lines for part in _comment(line, "# - ", "#   ")), ""]


def _table(head: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns rows in columns below a head, as comments."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"# {head}", *(f"#   {line}".rstrip() for line in lines), ""]


def _comment(text: str, first: str = "# ", others: str = "# ") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _number(value: float) -> str:
    """Returns a number with three digits at least, and no more than it has."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _bytes(size: float) -> str:
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e6:.0f} MB"


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def _time(duration: float) -> str:
    for unit, factor in (("days", DAY), ("h", 3600), ("min", 60)):
        if duration >= 3 * factor:
            return f"{duration / factor:.0f} {unit}"
    return f"{duration:.0f} s"

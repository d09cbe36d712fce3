"""Prints the probe's result for a person at a terminal."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from settings.demo import FAILED_STATUS
from tools.probe import names
from tools.probe.drawing import draw, duration, waterfall
from tools.probe.result import Finding, Freshness, HopCounters, Interval, ProbeResult
from tools.probe.traffic import succeeded
from tools.probe.words import listed

MOST_IDS = 10
"""Trace IDs in the list of missing ones; our choice: a line or two of a terminal."""


def render(result: ProbeResult, console: Console, *, attributes: bool) -> None:
    """Prints the summary and one trace, and the hop that lost spans if a trace is missing.

    Args:
        result: the probe's.
        console: where it prints.
        attributes: whether it prints those of each span of the trace, though there are several.
    """
    console.print(_requests(result), soft_wrap=True)
    if result.expected:
        console.print(_whole(result), soft_wrap=True)
    console.print()
    console.print(_summary(result))
    console.print(
        "Freshness: from the end of an answer to the end of the look-up that found its trace; a value may be lower by "
        "the resolution, never higher.",
        style="dim",
        soft_wrap=True,
    )
    console.print(Text(f"Search: {result.search_query}", style="dim"), soft_wrap=True)
    if result.trace:
        console.print()
        console.print(draw(result.trace) if attributes or len(result.trace) == 1 else waterfall(result.trace))
    if result.other_exporters:
        console.print()
    for finding in result.other_exporters:
        console.print(_finding(finding, "bold yellow"), soft_wrap=True)
    if result.complete:
        return
    console.print()
    console.print(_hops(result.hops))
    for hop in result.hops:
        for note in (*hop.notes, *hop.gaps):
            console.print(Text(f"{hop.hop.display_name}: {note}", style="dim"), soft_wrap=True)
    console.print()
    _verdict(result, console)


def render_interval(interval: Interval, console: Console) -> None:
    """Prints an interval's counters in a line, and the losses."""
    parts = [Text(f"{datetime.now(UTC).astimezone():%H:%M:%S}", style="dim")]
    for hop in interval.hops:
        if hop.unreadable:
            parts.append(Text(f"{hop.hop.display_name} could not be read: {hop.unreadable}", style="yellow"))
        else:
            parts.append(Text(f"{hop.hop.display_name}: {_counted(hop.counters)}"))
            parts += [Text(f"{exporter}: {_counted(counted)}") for exporter, counted in hop.exporters.items()]
    console.print(Text("  ").join(parts), soft_wrap=True)
    for hop in interval.hops:
        for gap in hop.gaps:
            console.print(Text(f"  {hop.hop.display_name}: {gap}", style="yellow"), soft_wrap=True)
    for finding in interval.losses:
        console.print(Text("  ") + _finding(finding, "bold red"), soft_wrap=True)


def _finding(finding: Finding, style: str) -> Text:
    return Text.assemble((f"{finding.hop.display_name}: ", style), finding.why)


def _counted(counters: Mapping[str, float]) -> str:
    """Returns counters in the order of a span's way."""
    return ", ".join(f"{word} {counters[key]:.0f}" for key, word in SHORT.items() if key in counters)


def _requests(result: ProbeResult) -> Text:
    expected = result.expected
    text = Text(f"{result.sent} requests to {result.nginx_url.rstrip('/')}{expected.path if expected else ''}: ")
    parts = [
        _answers(int(status), count, is_demo=expected is not None) for status, count in sorted(result.answers.items())
    ]
    if result.unanswered:
        parts.append((f"{result.unanswered} without an answer", False))
    for number, (part, good) in enumerate(parts):
        text.append(", " if number else "")
        text.append(part, style="green" if good else "bold yellow")
    return text


def _answers(status: int, count: int, *, is_demo: bool) -> tuple[str, bool]:
    """Returns a text about the requests with a status, and whether it is a good one."""
    if is_demo and status == FAILED_STATUS:
        return f"{count} answered with {status}, which the demo does on purpose", True
    return f"{count} answered with {status}", succeeded(status)


def _whole(result: ProbeResult) -> Text:
    expected, found = result.expected, result.found_by_id
    if expected is None:
        return Text()
    each = f"{expected.spans} spans, of {listed(expected.services)}, each below its right parent"
    if found == result.sent:
        return Text(f"Every trace is whole: {each}", style="green")
    return Text(f"{found} of {result.sent} traces are whole: {each}", style="bold yellow")


def _summary(result: ProbeResult) -> Table:
    table = Table("", "sent", "found", "missing", "p50", "p95", "resolution", box=None, pad_edge=False, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    rows: list[tuple[str, int, int, Freshness]] = [
        ("by ID", result.found_by_id, len(result.missing_by_id), result.freshness_by_id),
        ("by search", result.found_by_search, len(result.missing_by_search), result.freshness_by_search),
    ]
    for way, found, missing, fresh in rows:
        table.add_row(
            way,
            str(result.sent),
            str(found),
            Text(str(missing), style="bold red" if missing else ""),
            duration(fresh.p50_seconds),
            duration(fresh.p95_seconds),
            duration(fresh.resolution_seconds),
        )
    return table


SHORT = {
    names.LOGGED: "traced requests",
    names.DROPPED_LINES: "drops",
    names.FAILURE_LINES: "failed exports",
    names.ACCEPTED: "accepted",
    names.REFUSED: "refused",
    names.LIMITED: "for lack of memory",
    names.MADE: "made",
    names.SENT: "sent",
    names.SEND_FAILED: "send failed",
    names.ENQUEUE_FAILED: "enqueue failed",
    names.QUEUE_SIZE: "waiting",
    names.RECEIVED: "received",
    names.DISCARDED: "discarded",
    names.FULL_LINES: "disk full",
}
LABELS = {
    names.LOGGED: "requests of this run in the access log",
    names.DROPPED_LINES: f"log lines “{names.DROPPED_TEXT}”",
    names.FAILURE_LINES: f"log lines “{names.FAILURE_TEXT}”",
    names.MADE: "spans made of upstreams",
    names.QUEUE_SIZE: f"{names.QUEUE_SIZE} (now)",
    names.FULL_LINES: f"log lines “{names.FULL_TEXT}”",
}


def _hops(hops: list[HopCounters]) -> Table:
    table = Table("hop", "counted during the run, other traffic included", "", box=None, pad_edge=False, padding=(0, 2))
    table.columns[2].justify = "right"
    for hop in hops:
        if hop.unreadable:
            table.add_row(hop.hop.display_name, Text(f"could not be read: {hop.unreadable}", style="yellow"))
        for key, value in _labelled(hop):
            table.add_row(hop.hop.display_name, Text(LABELS.get(key, key)), f"{value:.0f}")
    return table


def _labelled(hop: HopCounters) -> Iterator[tuple[str, float]]:
    """Yields a hop's counters, with their labels where they have some."""
    yield from hop.counters.items()
    yield from ((f'{names.DISCARDED}{{reason="{why}"}}', count) for why, count in hop.discarded_by_reason.items())
    for exporter, counted in hop.exporters.items():
        yield from ((f'{name}{{exporter="{exporter}"}}', count) for name, count in counted.items())


def _verdict(result: ProbeResult, console: Console) -> None:
    missing = sorted({*result.missing_by_id, *result.missing_by_search})
    findings = result.verdict.findings if result.verdict else []
    hops = list(dict.fromkeys(finding.hop.display_name for finding in findings))
    headline = f"{len(missing)} of {result.sent} traces missing {duration(result.limit_seconds)} after the last answer"
    console.print(Text(f"{headline}; lost at: {', '.join(hops)}", style="bold red"), soft_wrap=True)
    for finding in findings:
        console.print(_finding(finding, "bold"), soft_wrap=True)
    for trace_id, lack in list(result.not_whole.items())[:MOST_IDS]:
        console.print(Text(f"{trace_id} is not whole: {lack}", style="dim"), soft_wrap=True)
    more = f" and {len(missing) - MOST_IDS} more" if len(missing) > MOST_IDS else ""
    console.print(Text(f"Missing: {' '.join(missing[:MOST_IDS])}{more}", style="dim"), soft_wrap=True)

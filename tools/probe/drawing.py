"""Draws a trace in the terminal: as a tree with all attributes, or a line for each span with a bar for its time."""

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tools.probe.result import Span

BAR = 20
"""The columns of the whole trace's time; our choice: the five spans of a demo's trace fit a terminal of 80 columns."""


def duration(seconds: float | None) -> str:
    """Returns a duration with the unit that suits it; a dash for none."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            number = seconds / size
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def title(spans: list[Span]) -> str:
    """Returns a line about a whole trace."""
    start, end = _times(spans)
    services = list(dict.fromkeys(span.service for _, span in _in_order(spans)))
    many = "span" if len(spans) == 1 else "spans"
    return f"the slowest trace: {len(spans)} {many} of {', '.join(services)}, {duration((end - start) / 1e9)}"


def draw(spans: list[Span]) -> Tree:
    """Returns a trace as a tree of its spans; a span whose parent is missing is at the top."""
    tree = Tree(Text(title(spans), style="bold"))
    branches = [tree]
    for depth, span in _in_order(spans):
        branch = branches[depth].add(_headline(span))
        branch.add(_attributes(span))
        branches[depth + 1 :] = [branch]
    return tree


def waterfall(spans: list[Span]) -> Group:
    """Returns a trace as a line for each span, below its parent, with a bar from its start to its end."""
    start, end = _times(spans)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    for _ in range(4):
        # The first column alone gives way.
        table.add_column(no_wrap=True)
    for depth, span in _in_order(spans):
        failed = span.status == "ERROR"
        table.add_row(
            # What is too long for the terminal is cut: a second line would look like another span.
            Text.assemble(
                *("   " * (depth - 1), "└─ " if depth else "", (span.service, "bold cyan"), f"  {span.name}"),
                no_wrap=True,
                overflow="ellipsis",
            ),
            span.kind,
            Text(duration(span.duration_seconds), justify="right"),
            Text("ERROR", style="bold red") if failed else "",
            Text(_bar(span, start, end), style="red" if failed else "cyan"),
        )
    return Group(Text(title(spans), style="bold"), table)


def _bar(span: Span, start: int, end: int) -> str:
    if end == start:
        return "▏"
    first = round((span.start_unix_nano - start) / (end - start) * BAR)
    return " " * min(first, BAR - 1) + ("━" * round(span.duration_seconds * 1e9 / (end - start) * BAR) or "▏")


def _times(spans: list[Span]) -> tuple[int, int]:
    """Returns the start and the end of a trace."""
    return (
        min(span.start_unix_nano for span in spans),
        max(span.start_unix_nano + round(span.duration_seconds * 1e9) for span in spans),
    )


def _in_order(spans: list[Span]) -> Iterator[tuple[int, Span]]:
    """Yields the spans with their depths, each after its parent."""
    known = {span.span_id for span in spans}

    def below(parent: Span, depth: int) -> Iterator[tuple[int, Span]]:
        yield depth, parent
        for child in spans:
            if child.parent_span_id == parent.span_id:
                yield from below(child, depth + 1)

    for span in spans:
        if span.parent_span_id not in known:
            yield from below(span, 0)


def _headline(span: Span) -> Text:
    failed = span.status == "ERROR"
    return Text.assemble(
        (span.service, "bold cyan"),
        "  ",
        (span.name, "bold"),
        f"  {span.kind}  {duration(span.duration_seconds)}  ",
        (f"status {span.status}", "bold red" if failed else ""),
        f": {span.status_message}" if span.status_message else "",
    )


def _attributes(span: Span) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("span ID", style="dim"), span.span_id)
    if span.parent_span_id:
        table.add_row(Text("parent span ID", style="dim"), span.parent_span_id)
    for key, value in sorted(span.attributes.items()):
        table.add_row(Text(key, style="dim"), Text(value))
    for key, value in sorted(span.resource.items()):
        table.add_row(Text(f"resource.{key}", style="dim"), Text(value))
    return table

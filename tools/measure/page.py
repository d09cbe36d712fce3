"""Writes the page of the measurements from their last results. A template holds the reasons and the tables' places."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.measure.catalogue import MEASUREMENTS
from tools.measure.load_steps import BASELINE, PROGRAM
from tools.measure.measurement import FAULTS, LOAD, PROGRAM_COST, TRACING_COST, UPDATES
from tools.measure.results import RESULTS, Entries, Entry, Result, Verdict

PAGE = RESULTS.with_suffix(".md")
TEMPLATE = Path(__file__).parent / "page.md.template"
LOAD_STEPS = "load-steps"
NOT_MEASURED = "Not measured yet."
_PLACE = re.compile(r"^<!-- (summary|[a-z-]+ table) -->$", re.MULTILINE)
_MOST_CHARACTERS = 300
"""Errors of measurements that failed are cut to that. Our choice."""


def write(entries: Entries, file: Path = PAGE) -> None:
    """Writes the page."""
    file.write_text(render(entries))


def render(entries: Entries) -> str:
    """Returns the page of some results.

    Raises:
        KeyError: the template names a table that there is not.
    """
    places: dict[str, Callable[[Entries], str]] = {
        "summary": _summary,
        f"{LOAD_STEPS} table": lambda found: _load_steps(found[LOAD_STEPS]) if LOAD_STEPS in found else NOT_MEASURED,
        "by-hand table": _by_hand,
    }
    for section in (UPDATES, FAULTS, LOAD, PROGRAM_COST, TRACING_COST):
        places[f"{section} table"] = lambda found, section=section: _section(found, section)
    return _PLACE.sub(lambda place: places[place[1]](entries), TEMPLATE.read_text())


def _summary(entries: Entries) -> str:
    verdicts = [result.verdict for entry in entries.values() for result in entry.results]
    met = verdicts.count(Verdict.MET) + verdicts.count(Verdict.CLOSED_GAP)
    gaps, missed = verdicts.count(Verdict.KNOWN_GAP), verdicts.count(Verdict.MISSED)
    return f"Of {met + gaps + missed} targets {met} are met, {gaps} are known gaps and {missed} are missed."


def _section(entries: Entries, section: str) -> str:
    names = [each.name for each in MEASUREMENTS if each.section == section and each.name in entries]
    shown = {name: entries[name] for name in names if name != LOAD_STEPS}
    rows = [
        (result.name, result.target or "none", result.value, str(result.verdict), f"`{name}`")
        for name, entry in shown.items()
        for result in entry.results
    ]
    if not rows:
        return NOT_MEASURED
    return "\n".join([*_table(("result", "target", "value", "met", "name"), rows), *_remarks(shown)])


def _remarks(entries: Entries) -> list[str]:
    """Returns what stands below a table: gaps, misses, notes, and which runs the results are from."""
    lines: list[str] = []
    noted: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for result in entry.results:
            if result.known_gap:
                lines.append(f"- **Known gap**, {result.name}: {result.known_gap}")
            elif result.verdict is Verdict.MISSED:
                lines.append(f"- **Missed**: {result.name}. {_details(result)}")
        if entry.note:
            noted.setdefault(entry.note, []).append(f"`{name}`")
    lines += [f"- {', '.join(names)}: {note}" for note, names in noted.items()]
    return ["", *lines, *_runs(entries)] if lines else _runs(entries)


def _details(result: Result) -> str:
    """Returns the details of a missed target that are texts, such as errors."""
    texts = [f"{key}: {_cell(value)}" for key, value in result.details.items() if isinstance(value, str)]
    return f"Details: {'; '.join(texts)}" if texts else "[The results](measurements.json) hold its details."


def _runs(entries: Entries) -> list[str]:
    """Returns a line for each run: its day, its version and the measurements that are from it."""
    runs: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in entries.items():
        runs.setdefault((entry.date, entry.version, entry.module), []).append(f"`{name}`")
    return [
        text
        for (date, version, module), names in runs.items()
        for text in ("", f"Measured on {date}, version {version}: {', '.join(names)}. NGINX's module: {module}.")
    ]


def _load_steps(entry: Entry) -> str:
    """Returns the load steps of both stacks side by side, and the other results of the measurement below."""
    steps: dict[float, dict[str, Result]] = {}
    others: list[Result] = []
    for result in entry.results:
        if "rate, requests/s" in result.details:
            steps.setdefault(float(result.details["rate, requests/s"]), {})[str(result.details["stack"])] = result
        else:
            others.append(result)
    heads = ("requests/s", "traces lost", "failed", "p99", "met", "baseline: traces lost", "failed", "p99")
    rows = [
        (f"{rate:.0f}", *_step(stacks.get(PROGRAM), has_target=True), *_step(stacks.get(BASELINE), has_target=False))
        for rate, stacks in sorted(steps.items())
    ]
    other_rows = [(result.name, result.value) for result in others]
    return "\n".join(
        [*_table(heads, rows), "", *_table(("result", "value"), other_rows), *_remarks({LOAD_STEPS: entry})]
    )


def _step(result: Result | None, *, has_target: bool) -> Sequence[str]:
    if result is None:
        return ("not measured",) * (4 if has_target else 3)
    latency = f"{float(result.details['p99, ms']):.0f} ms"
    return (result.value, str(result.details["failed"]), latency, *([str(result.verdict)] if has_target else []))


def _by_hand(entries: Entries) -> str:
    """Returns the results that no measurement of the catalogue makes."""
    measured = {each.name for each in MEASUREMENTS}
    rows = [
        (result.name, result.value, entry.command, entry.module, f"{entry.date}, {entry.version}")
        for name, entry in entries.items()
        if name not in measured
        for result in entry.results
    ]
    return "\n".join(_table(("result", "value", "how", "NGINX's module", "date, version"), rows))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)] if rows else []


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= _MOST_CHARACTERS else f"{flat[:_MOST_CHARACTERS]}…"

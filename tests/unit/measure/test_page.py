"""Renders the page of the measurements."""

from tools.measure import page, results
from tools.measure.catalogue import MEASUREMENTS
from tools.measure.results import MODULE, Entry, Result


def entry(*found: Result, note: str = "") -> Entry:
    return Entry("make …", "2026-11-26", "abc1234", MODULE, list(found), note)


def section(title: str, entries: dict[str, Entry]) -> str:
    """Returns the part of the page under a title."""
    return page.render(entries).split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_checked_in_page_is_that_of_the_checked_in_results() -> None:
    rewrite = "`python -m tools measure --page` writes it again"
    assert page.PAGE.read_text() == page.render(results.read()), rewrite


def test_every_measurement_of_the_catalogue_has_a_place_on_the_page() -> None:
    entries = {each.name: entry(Result(f"the result of {each.name}", "0", "0")) for each in MEASUREMENTS}
    rendered = page.render(entries)
    for each in MEASUREMENTS:
        assert f"the result of {each.name} |" in rendered


def test_a_table_says_that_the_stand_in_made_its_spans() -> None:
    shown = section("What faults lose", {"tempo-kill": entry(Result("Tempo SIGKILL", "0", "0"))})
    assert "Measured on 2026-11-26, version abc1234: `tempo-kill`." in shown
    assert f"NGINX's module: {MODULE}." in shown


def test_a_known_gap_stands_with_its_reason_below_its_table() -> None:
    gap = Result("Tempo's disk full", "counted", "no", met=False, known_gap="Tempo counts nothing.")
    shown = section("What faults lose", {"full-tempo": entry(gap)})
    assert "| Tempo's disk full | counted | no | known gap | `full-tempo` |" in shown
    assert "- **Known gap**, Tempo's disk full: Tempo counts nothing." in shown


def test_a_missed_target_and_a_note_stand_below_their_table() -> None:
    missed = Result("Tempo SIGKILL", "0", "3", met=False, details={"failed": 3, "reasons": "status\n502"})
    shown = section("What faults lose", {"tempo-kill": entry(missed, note="Beside other work.")})
    assert "- **Missed**: Tempo SIGKILL. Details: reasons: status 502" in shown
    assert "- `tempo-kill`: Beside other work." in shown
    assert "Of 1 targets 0 are met, 0 are known gaps and 1 are missed." in page.render({"tempo-kill": entry(missed)})


def step(stack: str, rate: int, value: str, target: str | None) -> Result:
    details = {"stack": stack, "rate, requests/s": rate, "failed": 2, "p99, ms": 8.6}
    return Result(f"{stack}: {rate}/s", target, value, details={**details})


def test_load_steps_stand_beside_those_of_the_baseline() -> None:
    found = [
        step("this program", 500, "0 of 30016 (0.0%)", "0"),
        step("this program", 1000, "1 of 60016 (0.0%)", "0"),
        step("baseline", 500, "3 of 30011 (0.0%)", None),
        Result("baseline: request to searchable", None, "p50 10.0 s"),
    ]
    shown = section("Load beside the baseline", {"load-steps": entry(*found)})
    assert "| 500 | 0 of 30016 (0.0%) | 2 | 9 ms | yes | 3 of 30011 (0.0%) | 2 | 9 ms |" in shown
    assert "| 1000 | 1 of 60016 (0.0%) | 2 | 9 ms | yes | not measured | not measured | not measured |" in shown
    assert "| baseline: request to searchable | p50 10.0 s |" in shown


def test_a_measurement_that_failed_is_one_row() -> None:
    failed = results.not_measured("load-steps", ValueError("no\n| pods\n" + 400 * "x"))
    shown = section("Load beside the baseline", {"load-steps": entry(failed)})
    (row,) = [line for line in shown.splitlines() if line.startswith("| load-steps")]
    assert "not measured: no \\| pods xxx" in row
    assert len(row) < 400


def test_what_no_measurement_makes_stands_under_its_own_title_with_its_module() -> None:
    official = Entry("another harness", "2026-11-26", "1853c17", "the official module", [Result("rate", None, "0.77")])
    shown = section("Measured by hand", {"official": official})
    assert "| rate | 0.77 | another harness | the official module | 2026-11-26, 1853c17 |" in shown

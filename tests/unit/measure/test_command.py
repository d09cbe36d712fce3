"""Selects and runs measurements, without a lab."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lab.build.target import Target
from lab.build.targets import CURRENT_COLLECTOR, TEMPO
from lab.errors import LabError
from lab.progress import Progress
from tools.lab_stack import Stack
from tools.measure import command, page, results
from tools.measure.catalogue import MEASUREMENTS, selected
from tools.measure.cost import stored
from tools.measure.measurement import DURABLE, FAULTS, GROUPS, Measurement, Place, SharedStack
from tools.measure.results import MODULE, Entry, Result

OTHER = SharedStack("other", {"collector.replicas": "1"})


def names(*arguments: str, only: list[str] | None = None) -> list[str]:
    return [each.name for each in selected(list(arguments), only)]


def test_a_name_selects_a_measurement_or_a_group_and_no_name_all() -> None:
    assert names("growth", "killed") == ["killed", "growth"]
    cost = ["tracing", "proxied", "spans", "upstream-spans", "stored-spans", "features", "tempo-forms"]
    assert names("bench") == ["commands", "previews", "every-part", "growth", *cost]
    assert names("bench", "killed")[0] == "killed"
    assert names() == [each.name for each in MEASUREMENTS] == names("reliability", "bench")


def test_only_selects_within_a_group() -> None:
    assert names("bench", only=["spans", "growth"]) == ["growth", "spans"]
    assert names(only=["spans"]) == ["spans"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["ladder"], "unknown: ladder. Names: reliability, bench, "),
        (["bench", "--only", "killed"], "not in bench: killed."),
        (["--only", "ladder"], "unknown: ladder."),
    ],
)
def test_a_name_that_selects_nothing_is_refused(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert error in capsys.readouterr().err


def test_every_measurement_has_a_name_of_its_own_and_a_command_that_repeats_it() -> None:
    assert len({each.name for each in MEASUREMENTS} | set(GROUPS)) == len(MEASUREMENTS) + len(GROUPS)
    for each in MEASUREMENTS:
        group, only = each.command.removeprefix("make ").split(" ", maxsplit=1)
        assert names(group, only=[only.split()[1].rstrip('"')]) == [each.name]


def test_help_lists_every_measurement() -> None:
    shown = command.parser().format_help()
    assert all(f"  {each.name} " in shown for each in MEASUREMENTS)


class FakeStack:
    """Notes what becomes of each stack."""

    log: list[str]
    fails = False

    def __init__(self, folder: Path) -> None:
        self.name = folder.name

    def configure(self, values: Mapping[str, str], secrets: Mapping[str, str] | None) -> None:
        """Notes one of the values, and no secret."""
        assert not secrets
        self.log.append(f"{self.name}: {values['collector.replicas']} Collectors")

    def up(self) -> str:
        """Notes the deployment, or fails."""
        self.log.append(f"{self.name}: up")
        if self.fails:
            raise LabError("no room")
        return ""

    def pulumi(self, *arguments: str) -> None:
        """Notes the command."""
        self.log.append(f"{self.name}: {arguments[0]}")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []

    def lay_out(folder: Path, name: str, namespace: str) -> FakeStack:
        return FakeStack(folder)

    monkeypatch.setattr(FakeStack, "log", log, raising=False)
    monkeypatch.setattr(FakeStack, "fails", False)
    monkeypatch.setattr(Stack, "lay_out", lay_out)
    return log


def measurement(
    name: str, log: list[str], stack: SharedStack | None = DURABLE, *, is_deployed: bool = True, fails: bool = False
) -> Measurement:
    def measure(place: Place) -> list[Result]:
        assert list(place.scratch.iterdir()) == []
        log.append(f"{name} on {place.stack.name if stack else 'nothing'}")
        if fails:
            raise LabError("a pod was not Ready")
        return [Result(name, "0", "0")]

    return Measurement(name, FAULTS, "a test's", 0, measure, stack, is_deployed)


def ran(wanted: list[Measurement], folder: Path) -> list[Result]:
    found: list[Result] = []
    command.run(wanted, folder, Progress(), lambda _, measured: found.extend(measured))
    return found


def test_measurements_in_a_row_share_a_stack_that_is_deployed_once_and_removed(log: list[str], tmp_path: Path) -> None:
    ran(
        [
            measurement("empty", log, is_deployed=False),
            measurement("one", log),
            measurement("two", log),
            measurement("three", log, OTHER),
            measurement("four", log, None),
        ],
        tmp_path,
    )
    assert log == [
        "stack-durable: 2 Collectors",
        "empty on stack-durable",
        "stack-durable: up",
        "one on stack-durable",
        "two on stack-durable",
        "stack-durable: cancel",
        "stack-durable: destroy",
        "stack-other: 1 Collectors",
        "stack-other: up",
        "three on stack-other",
        "stack-other: cancel",
        "stack-other: destroy",
        "four on nothing",
    ]


def test_a_measurement_that_fails_is_a_missed_target_and_the_next_one_goes_on(log: list[str], tmp_path: Path) -> None:
    failed, passed = ran([measurement("one", log, fails=True), measurement("two", log)], tmp_path)
    assert (failed.name, failed.value, failed.met) == ("one", "not measured: a pod was not Ready", False)
    assert passed.met


def test_a_stack_that_cannot_be_deployed_ends_the_run_and_is_removed(
    log: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeStack, "fails", True)
    with pytest.raises(LabError, match="no room"):
        ran([measurement("one", log)], tmp_path)
    assert log[-1] == "stack-durable: destroy"


BEFORE = Entry("make …", "2026-01-01", "old", MODULE, [Result("tempo-kill", "0", "9", met=False)], "a note")


def on_the_lab(folder: Path) -> Callable[..., None]:
    """Returns what runs measurements without a lab."""

    def run(wanted: Sequence[Measurement], versions: str, progress: Progress, keep: command.Keep) -> None:
        command.run(wanted, folder, progress, keep)

    return run


def test_another_set_of_versions_is_shown_and_written_beside_the_current_one(
    log: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_on_the_lab", on_the_lab(tmp_path))
    file = tmp_path / "measurements.json"
    results.write({"tempo-kill": BEFORE}, file)
    assert command.measure([measurement("tempo-kill", log, None)], "tutorial", file) == 0
    after = results.read(file)
    assert after["tempo-kill"] == BEFORE
    assert after["tempo-kill of tutorial"].command == 'LAB_VERSIONS=tutorial make reliability ARGS="--only tempo-kill"'
    assert "| tempo-kill | 0 | 9 | `tempo-kill` |" in file.with_suffix(".md").read_text()
    assert "9 (2026-01-01)" in capsys.readouterr().out


def test_a_run_of_a_part_replaces_the_entries_of_that_part_alone(
    log: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "_on_the_lab", on_the_lab(tmp_path))
    file = tmp_path / "measurements.json"
    results.write({"growth": BEFORE, "tempo-kill": BEFORE}, file)
    assert command.measure([measurement("tempo-kill", log, None)], file=file) == 0
    after = results.read(file)
    assert after["growth"] == BEFORE
    assert after["tempo-kill"].results == [Result("tempo-kill", "0", "0")]
    assert after["tempo-kill"].command == 'make reliability ARGS="--only tempo-kill"'
    assert after["tempo-kill"].note == ""
    assert file.with_suffix(".md").read_text() == page.render(after)


def test_without_a_lab_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.lifecycle, "is_running", lambda: False)
    file = tmp_path / "measurements.json"
    assert command.measure(selected(["growth"]), file=file) == 2
    assert "error: No lab is running: `make lab-up`." in capsys.readouterr().err
    assert not file.exists()


def test_what_runs_on_loopback_needs_no_lab_and_no_module_of_nginx(
    log: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Target] = []

    def build(targets: Sequence[Target], progress: Progress) -> None:
        built.extend(targets)

    monkeypatch.setattr(command.lifecycle, "is_running", lambda: False)
    monkeypatch.setattr(command, "build", build)
    file = tmp_path / "measurements.json"
    results.write({}, file)
    assert command.measure([replace(measurement("spans", log, None), needs_lab=False)], file=file) == 0
    assert results.read(file)["spans"].module == "none: no NGINX"
    assert {CURRENT_COLLECTOR, TEMPO} <= set(built)


def test_a_result_of_stored_spans_has_the_figures_that_sizes_are_computed_from() -> None:
    found = stored.Stored(
        spans=30_000,
        received=30_000 * 651,
        stored=30_000 * 326,
        seconds=15,
        collector_cpu=0.6,
        tempo_cpu=2.7,
        collector_peak=80 * 2**20,
        tempo_peak=400 * 2**20,
    )
    made = stored.result(stored.Case(0, 1000), found)
    assert made.name == "spans of 651 bytes, 2000 a second"
    assert made.value == (
        "326 bytes each on the disk; a million take the Collector 20.0 s and Tempo 90.0 s; at most 80 and 400 MiB"
    )
    # 250 requests a second and worker, of which each export has half a second; a full batch has no more than 306.
    assert (stored.Case(0, 1000).batch, stored.Case(0, 4000).batch) == (125, 306)

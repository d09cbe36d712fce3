"""`python -m tools measure`: measures on the running lab, and writes the results and their page."""

import argparse
import contextlib
import datetime
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from rich.console import Console

from lab.build.builder import build
from lab.build.targets import COLLECTORS, TEMPO, VEGETA
from lab.cluster import lifecycle
from lab.errors import LabError
from lab.progress import Progress
from lab.stack import chosen_versions, provide_images
from settings.versions.sets import DEFAULT
from tools.lab_stack import Stack, ephemeral, take_interrupts
from tools.measure import page, results
from tools.measure.catalogue import MEASUREMENTS, selected
from tools.measure.faults.inject import free_volumes
from tools.measure.faults.scenarios import CONFIGURATION, NAMESPACE
from tools.measure.measurement import GROUPS, Measurement, Place, SharedStack
from tools.measure.results import MODULE, NO_NGINX, NOTHING_MEASURED, Entry, Result
from tools.paths import REPOSITORY

Keep = Callable[[Measurement, list[Result]], None]
"""Takes the results of a measurement as soon as they are there."""


def parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    described = argparse.ArgumentParser(
        prog="python -m tools measure",
        description="Measures on the running lab, prints the results and writes "
        f"{results.RESULTS.relative_to(REPOSITORY)} and the page beside it. Results that were not repeated stay. "
        "With LAB_VERSIONS=tutorial it measures that set of versions, and prints and writes its results beside the "
        "current one's last.",
        epilog=_listed(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    described.add_argument("names", nargs="*", metavar="NAME", help="measurements or groups; all by default")
    described.add_argument("--only", nargs="+", metavar="NAME", help="these of them alone")
    described.add_argument("--page", action="store_true", help="write the page from the last results; measure nothing")
    return described


def _listed() -> str:
    lines: list[str] = []
    for group in GROUPS:
        members = [each for each in MEASUREMENTS if each.group == group]
        lines.append(f"{group}, {sum(each.minutes for each in members):.0f} min:")
        lines += [f"  {each.name:<22}{each.minutes:>3.0f} min  {each.summary}" for each in members]
    lines.append(
        "Exit code: 0 every target is met or a known gap; 1 one is missed; 2 nothing was measured, or the lab failed."
    )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Runs the command.

    Returns:
        0 when every target is met or a known gap, 1 when one is missed, 2 when nothing was measured or the lab failed.
    """
    described = parser()
    options = described.parse_args(arguments)
    try:
        wanted, versions = selected(options.names, options.only), chosen_versions()
    except (ValueError, LabError) as error:
        described.error(str(error))
    if options.page:
        page.write(results.read())
        return 0
    take_interrupts()
    return measure(wanted, versions)


def measure(wanted: Sequence[Measurement], versions: str = DEFAULT, file: Path = results.RESULTS) -> int:
    """Runs measurements of a set of versions, writes the results and the page beside them, and returns the exit code.

    It shows the results of another set than the default beside the default's.
    """
    # Asked once: the first results that are written make the checkout dirty.
    version, found = _version(), list[Result]()

    def keep(measurement: Measurement, measured: list[Result]) -> None:
        found.extend(measured)
        _write(measurement, measured, version, versions, file)

    error = None
    try:
        _on_the_lab(wanted, versions, Progress(), keep)
    except LabError as failure:
        error = failure
    if found:
        results.show(found, Console(), beside=None if versions == DEFAULT else _current(file))
    if error:
        print(f"error: {error}", file=sys.stderr)
        return NOTHING_MEASURED
    return results.exit_code(found)


def _on_the_lab(wanted: Sequence[Measurement], versions: str, progress: Progress, keep: Keep) -> None:
    """Builds what the measurements need, and runs them in a folder of their own. Some need no lab.

    Stacks are laid out with the images of `LAB_VERSIONS`, which are provided here: the lab may have started without it.

    Raises:
        LabError: no lab is running, or something could not be built or deployed.
    """
    needs_lab = any(each.needs_lab for each in wanted)
    if needs_lab and not lifecycle.is_running():
        raise LabError("No lab is running: `make lab-up`.")
    build([VEGETA, COLLECTORS[versions], TEMPO, *(target for each in wanted for target in each.builds)], progress)
    if needs_lab:
        provide_images(progress, versions)
        free_volumes()
    with tempfile.TemporaryDirectory() as scratch:
        run(wanted, Path(scratch), progress, keep)


def run(wanted: Sequence[Measurement], scratch: Path, progress: Progress, keep: Keep) -> None:
    """Runs measurements. Those in a row that name the same stack share it, and it is deployed once.

    A measurement that fails is a missed target, and the next one goes on.

    Raises:
        LabError: a shared stack could not be deployed.
    """
    for shared, measurements in itertools.groupby(wanted, key=lambda measurement: measurement.stack):
        with _laid_out(shared, scratch) as stack:
            is_up = False
            for measurement in measurements:
                if stack is not None and measurement.is_deployed and not is_up:
                    stack.up()
                    is_up = True
                folder = scratch / measurement.name
                folder.mkdir()
                keep(measurement, _one(measurement, Place(folder, progress.say, stack), progress))


def _one(measurement: Measurement, place: Place, progress: Progress) -> list[Result]:
    with progress.step(measurement.name) as step:
        try:
            return measurement.measure(place)
        except LabError as error:
            step.failed = True
            return [results.not_measured(measurement.name, error)]


@contextlib.contextmanager
def _laid_out(shared: SharedStack | None, scratch: Path) -> Generator[Stack | None]:
    """Lays out a shared stack without deploying it, and removes it at the end."""
    if shared is None:
        yield None
        return
    configuration = CONFIGURATION | dict(shared.changed)
    with ephemeral(scratch / f"stack-{shared.name}", NAMESPACE, configuration, name="reliability") as stack:
        yield stack


def _current(file: Path) -> list[Entry]:
    return [entry for name, entry in results.read(file).items() if name in {each.name for each in MEASUREMENTS}]


def _write(measurement: Measurement, measured: list[Result], version: str, versions: str, file: Path) -> None:
    """Replaces the entry of one measurement of a set of versions, and writes the page."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = measurement.command if versions == DEFAULT else f"LAB_VERSIONS={versions} {measurement.command}"
    entry = Entry(command, today, version, MODULE if measurement.needs_lab else NO_NGINX, measured)
    entries = results.read(file) | {results.key(measurement.name, versions): entry}
    results.write(entries, file)
    page.write(entries, file.with_suffix(".md"))


def _version() -> str:
    """Names the version of the checkout; a checkout without git has none."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], check=False, cwd=REPOSITORY, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"

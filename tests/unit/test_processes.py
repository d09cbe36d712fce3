"""What several processes that run tests agree on: the order of files, and a turn for each test."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.processes import FOLDER, LONGEST_FIRST, Shared, in_order, turn


@dataclass
class Item:
    """As much of a test as its place and its turn go by."""

    path: Path
    is_alone: bool = False

    def get_closest_marker(self, name: str) -> object:
        """Whether it has the mark."""
        return self if name == "alone" and self.is_alone else None


def item(path: str, *, alone: bool = False) -> pytest.Item:
    return cast("Any", Item(FOLDER / path, alone))


def test_the_lab_s_own_tests_are_first_what_computes_follows_and_what_runs_alone_is_last() -> None:
    items = [
        item("lab/test_policy.py"),
        item("lab/measure/test_latency.py", alone=True),
        item("lab/test_stack.py"),
        item("unit/test_golden.py"),
        item("lab/measure/test_faults.py"),
        item("lab/test_lab.py"),
        item("module/test_text.py"),
    ]
    in_order(items)
    assert [each.path.name for each in items] == [
        "test_lab.py",
        "test_golden.py",
        "test_text.py",
        "test_stack.py",
        "test_faults.py",
        "test_policy.py",
        "test_latency.py",
    ]


def test_every_file_that_is_ordered_by_its_duration_is_there() -> None:
    there = {path.name for path in (FOLDER / "lab").rglob("test_*.py")}
    assert set(LONGEST_FIRST) - there == set()


def test_no_two_modules_of_the_lab_deploy_to_one_namespace_and_none_to_that_of_make_up() -> None:
    named: list[str] = []
    for file in (FOLDER / "lab").rglob("test_*.py"):
        namespaces = [line.split('"')[1] for line in file.read_text().splitlines() if line.startswith('NAMESPACE = "')]
        named += namespaces
    assert len(named) > 10
    assert len(set(named)) == len(named)
    assert "tracing" not in named


def test_a_test_that_runs_alone_waits_for_the_others_and_they_for_it(tmp_path: Path) -> None:
    shared = Shared(tmp_path, is_worker=True)
    began, ended = threading.Event(), list[str]()

    def run_alone() -> None:
        began.set()
        with turn(shared, item("lab/test_latency.py", alone=True)):
            ended.append("alone")

    alone = threading.Thread(target=run_alone)
    with turn(shared, item("lab/test_stack.py")), turn(shared, item("unit/test_golden.py")):
        alone.start()
        began.wait()
        ended.append("others")
    alone.join()
    assert ended == ["others", "alone"]


def test_a_part_that_runs_alone_waits_for_tests_that_run_and_none_begins_meanwhile(tmp_path: Path) -> None:
    first, second, third = (Shared(tmp_path, is_worker=True) for _ in range(3))
    done = list[str]()
    is_running, may_end, is_alone = threading.Event(), threading.Event(), threading.Event()

    def run() -> None:
        with second.turn(alone=False):
            is_running.set()
            may_end.wait()
            done.append("running")

    def begin_later() -> None:
        is_alone.wait()
        with third.turn(alone=False):
            done.append("later")

    threads = [threading.Thread(target=run), threading.Thread(target=begin_later)]
    with first.turn(alone=False):
        for thread in threads:
            thread.start()
        is_running.wait()
        may_end.set()
        with first.alone():
            is_alone.set()
            done.append("alone")
    for thread in threads:
        thread.join()
    assert done[:2] == ["running", "alone"]
    assert done[2:] == ["later"]


def test_two_parts_that_run_alone_do_not_wait_for_each_other_s_tests(tmp_path: Path) -> None:
    done = list[str]()
    both = threading.Barrier(2)

    def run(name: str) -> None:
        shared = Shared(tmp_path, is_worker=True)
        with shared.turn(alone=False):
            both.wait()
            with shared.alone():
                done.append(f"{name} begins")
                done.append(f"{name} ends")

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [line.split()[1] for line in done] == ["begins", "ends"] * 2


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (["", "never asked"], ""),
        (["3 lost", "", "1 lost", ""], "beside other tests: 3 lost\nalone: nothing\nalone: 1 lost\nalone: nothing"),
    ],
)
def test_a_loss_counts_if_it_comes_again_in_any_of_three_runs_alone(
    measured: list[str], said: str, tmp_path: Path
) -> None:
    left = iter(measured)
    assert Shared(tmp_path, is_worker=True).what_goes_wrong(lambda: next(left)) == said


def test_a_loss_beside_other_tests_alone_is_shown_and_does_not_count(tmp_path: Path) -> None:
    left = iter(["3 lost", "", "", ""])
    with pytest.warns(UserWarning, match="beside other tests, and in none of 3 runs alone: 3 lost"):
        assert Shared(tmp_path, is_worker=True).what_goes_wrong(lambda: next(left)) == ""
    assert list(left) == []


def test_a_loss_counts_at_once_where_no_other_test_runs(tmp_path: Path) -> None:
    assert Shared(tmp_path, is_worker=False).what_goes_wrong(lambda: "3 lost") == "3 lost"

"""Options of the tests, and what they need when several processes run them: an order, turns, and one lab."""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lab.cluster import lifecycle
from tests.processes import LAB_IS_OURS, LAB_TESTS, Shared, in_order, turn
from tools.lab_stack import take_interrupts

SHARED = pytest.StashKey[Shared]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden`, which `make golden` gives."""
    parser.addoption("--write-golden", action="store_true", help="regenerate the golden files")


def pytest_configure(config: pytest.Config) -> None:
    """Makes Pulumi's commands end at once where the tests are a job in the background, and shares a folder."""
    take_interrupts()
    given: dict[str, Any] = getattr(config, "workerinput", {})
    folder = Path(given["shared"]) if given else Path(tempfile.mkdtemp(prefix="nginx-tracing-tests-"))
    config.stash[SHARED] = Shared(folder, is_worker=bool(given))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a process of pytest-xdist which folder all of them share."""
    node.workerinput["shared"] = str(node.config.stash[SHARED].folder)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sorts the tests by file, and notes whether the tests of the lab itself are among them."""
    in_order(items)
    config.stash[SHARED].waits_for_lab_tests = any(item.path.name == LAB_TESTS for item in items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Waits until nothing else runs where a test measures time; and where one does, until it has ended."""
    with turn(item.config.stash[SHARED], item):
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stops the lab at the end if the tests started it."""
    shared = session.config.stash[SHARED]
    if not shared.is_worker and shared.has(LAB_IS_OURS):
        lifecycle.stop()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the shared folder."""
    shared = config.stash.get(SHARED, None)
    if shared and not shared.is_worker:
        shutil.rmtree(shared.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Shared:
    """What all processes of this run of the tests have in common."""
    return pytestconfig.stash[SHARED]

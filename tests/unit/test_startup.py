"""Tests of the program's start: garbage collection, interrupts and late imports."""

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Generator

import pytest

from components import startup


@pytest.fixture(autouse=True)
def _restored() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """Gives the test process back its own settings."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
    gc.unfreeze()
    gc.enable()


def test_an_interrupt_ends_the_program_without_a_traceback_of_python_s() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    startup.prepare()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert not gc.isenabled()


def test_an_inline_program_leaves_the_signals_of_the_program_around_it_alone() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=startup.prepare)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert not gc.isenabled()


def test_the_components_are_imported_before_the_objects_are_frozen() -> None:
    asyncio.run(startup.import_components())
    assert "components.nginx" in sys.modules
    assert gc.get_freeze_count() > 0

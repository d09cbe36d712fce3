"""A Tempo on loopback with answers of the test, and the page in front of it."""

import asyncio
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.unit.probe.fake_stack import Answer, Server
from tools.tempo import Login, Tempo
from tools.view.server import serving
from tools.view.site import Site


@dataclass
class FakeTempo:
    """A Tempo; tests set its answers by path, and read what it was asked."""

    answers: dict[str, Answer | None] = field(default_factory=dict[str, Answer | None])
    """By path. None closes the connection without an answer."""
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list[Any])
    """Path, query and headers of each request."""

    def __post_init__(self) -> None:
        self.server = Server(self._answer)

    def _answer(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Answer | None:
        self.asked.append((path, query, headers))
        return self.answers.get(path, (200, "ready") if path in ("/ready", "/api/echo") else (404, "not found"))


@dataclass
class View:
    """A page that is served."""

    url: str
    stop: Callable[[], None]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Sends a GET."""
        return httpx.get(f"{self.url}{path}", trust_env=False, **options)


@pytest.fixture(scope="package")
def served() -> Generator[tuple[FakeTempo, View]]:
    """Serves the page in front of a Tempo with a password, for all tests: to begin takes longer than to answer."""
    tempo, ready, made = FakeTempo(), threading.Event(), list[View]()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with Tempo(tempo.server.url, Login("tempo", "hidden-word")) as client:
            with serving(Site(client), 0) as port:
                made.append(View(f"http://127.0.0.1:{port}", lambda: loop.call_soon_threadsafe(ended.set) and None))
                ready.set()
                await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield tempo, made[0]
    made[0].stop()
    thread.join()
    tempo.server.stop()


@pytest.fixture
def tempo(served: tuple[FakeTempo, View]) -> FakeTempo:
    """Returns a Tempo without traces, which was asked nothing yet."""
    fake, _ = served
    fake.answers.clear()
    fake.asked.clear()
    return fake


@pytest.fixture
def view(tempo: FakeTempo, served: tuple[FakeTempo, View]) -> View:
    """Returns the page in front of the Tempo."""
    return served[1]

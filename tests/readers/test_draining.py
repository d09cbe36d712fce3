"""Tests how a Collector that ends sends what its volume holds: the script, beside each of the lab's Collectors."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from components.documents.collector_drain import BUSYBOX, copying_busybox, drain_command, drain_script
from settings import CollectorSettings
from tests.otlp import Receiver
from tests.readers.collectors import Running, running
from tests.waiting import wait_for
from tools.probe import names

pytestmark = pytest.mark.usefixtures("programs")

PERSISTENT: dict[str, Any] = {"distribution": "k8s", "queue": {"storage": "persistent"}}
ALONE: dict[str, Any] = PERSISTENT | {"replicas": 1}
EXPORTS, SPANS = 40, 50


@pytest.fixture
def tempo() -> Generator[Receiver]:
    """Runs a receiver in Tempo's place."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


def address(receiver: Receiver) -> str:
    """Returns a receiver's address."""
    return f"127.0.0.1:{receiver.port}"


class Drain:
    """Runs the script as a pod's hook does, without the delay before it, beside a Collector."""

    def __init__(self, collector: Running, folder: Path, *, bound: int = 60, leave: int | None = None) -> None:
        script = folder / "drain.sh"
        script.write_text(drain_script())
        self.log = folder / "drain.log"
        _, shell, _, _, _, _, *numbers = drain_command(collector.settings, 0)
        numbers[1] = str(bound)
        numbers[2] = numbers[2] if leave is None else str(leave)
        command = [
            "busybox",
            shell,
            str(script),
            shutil.which("busybox") or "",
            str(collector.metrics_port),
            str(self.log),
            *numbers,
        ]
        self.start = time.monotonic()
        self.process = subprocess.Popen(command)

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait(self, seconds: float = 90) -> tuple[int, str]:
        """Waits for its end. Returns its exit code, and what it said."""
        return self.process.wait(seconds), self.log.read_text().strip()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.start


class Traffic:
    """Sends exports of one span each, twice a second for each of NGINX's workers, until it is stopped."""

    def __init__(self, collector: Running) -> None:
        self.sent = 0
        self._stop = threading.Event()
        self._collector = collector
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._stop.wait(0.25):
            self._collector.send()
            self.sent += 1

    def stop(self) -> int:
        """Stops. Returns the number of spans that the Collector has accepted."""
        self._stop.set()
        self._thread.join()
        return self.sent


@pytest.mark.deep
def test_a_pod_with_an_empty_queue_ends_within_seconds(image: str, tmp_path: Path, tempo: Receiver) -> None:
    with running(image, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        collector.send(7)
        tempo.many(7)
        drain = Drain(collector, tmp_path)
        code, said = drain.wait()
        assert code == 0
        assert said.startswith("drain: the queues were empty after ")
        assert drain.seconds < 10


def test_a_pod_ends_once_its_backend_has_taken_what_its_volume_holds(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    tempo.go_on.clear()
    with running(image, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        for _ in range(EXPORTS):
            collector.send(SPANS)
        drain = Drain(collector, tmp_path)
        wait_for("readings of a full queue", lambda: drain.seconds > 5)
        assert not drain.ended
        tempo.go_on.set()
        assert drain.wait()[0] == 0
        assert len(tempo.spans) == EXPORTS * SPANS
        collector.end(SIGTERM)
    assert len({span.span_id for span in tempo.spans}) == EXPORTS * SPANS


def test_a_backend_that_is_away_is_waited_for_until_the_bound_and_the_volume_keeps_the_spans(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    tempo.stop()
    with running(image, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        for _ in range(EXPORTS):
            collector.send(SPANS)
        drain = Drain(collector, tmp_path, bound=6)
        code, said = drain.wait()
        assert code == 1
        assert said.startswith("drain: the queues still hold ")
        assert said.endswith(" after 6 s, which stays on the volume")
        collector.end(SIGTERM)
    tempo.start()
    with running(image, tmp_path, backend=address(tempo), **PERSISTENT):
        tempo.many(EXPORTS * SPANS)


def test_a_pod_with_its_queue_in_memory_that_ends_while_its_backend_is_away_loses_it_and_logs_how_much(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    tempo.stop()
    with running(image, tmp_path, backend=address(tempo), distribution="k8s") as collector:
        for _ in range(EXPORTS):
            collector.send(SPANS)
        collector.end(SIGTERM)
        log = collector.log.read_text()
    assert "Exporting failed. Dropping data" in log
    # docs/explanation/where-spans-can-be-lost.md names the line and the number.
    assert sum(map(int, re.findall(r'"dropped_items": (\d+)', log))) == EXPORTS * SPANS


@pytest.mark.deep
def test_a_client_that_has_not_left_yet_is_waited_for(image: str, tmp_path: Path, tempo: Receiver) -> None:
    with running(image, tmp_path, backend=address(tempo), **PERSISTENT) as collector:
        traffic = Traffic(collector)
        drain = Drain(collector, tmp_path)
        wait_for("some of its spans", lambda: drain.seconds > 8)
        assert not drain.ended
        sent = traffic.stop()
        assert drain.wait()[0] == 0
        assert len(tempo.spans) == sent


@pytest.mark.deep
def test_a_client_that_never_leaves_does_not_keep_a_pod_for_ever(image: str, tmp_path: Path, tempo: Receiver) -> None:
    # The only pod: its clients have no other to go to.
    with running(image, tmp_path, backend=address(tempo), **ALONE) as collector:
        traffic = Traffic(collector)
        wait_for("spans that pass", lambda: collector.counted(names.SENT) > 0)
        drain = Drain(collector, tmp_path)
        code, _ = drain.wait()
        traffic.stop()
        assert code == 0
        assert drain.seconds < 30


def drained_under_traffic(collector: Running, folder: Path) -> tuple[int, str]:
    """Drains for ten seconds at most beside a client that never leaves; returns the exit code, and what was said."""
    traffic = Traffic(collector)
    ended = Drain(collector, folder, bound=10).wait()
    traffic.stop()
    return ended


@pytest.mark.deep
def test_a_client_that_never_leaves_does_not_hide_that_a_backend_is_away(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    tempo.stop()
    with running(image, tmp_path, backend=address(tempo), **ALONE) as collector:
        for _ in range(EXPORTS):
            collector.send()
        code, said = drained_under_traffic(collector, tmp_path)
        assert (code, "still hold" in said) == (1, True)


@pytest.mark.deep
def test_a_backend_that_takes_spans_does_not_hide_that_another_one_is_away(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    vendor = Receiver()
    vendor.stop()
    exporters = {"vendor": {"endpoint": address(vendor), "tls": {"enabled": False}}}
    with running(image, tmp_path, backend=address(tempo), exporters=exporters, **ALONE) as collector:
        for _ in range(EXPORTS):
            collector.send()
        tempo.many(EXPORTS)
        code, said = drained_under_traffic(collector, tmp_path)
        assert (code, "still hold" in said) == (1, True)


@pytest.mark.deep
def test_a_collector_that_keeps_no_trace_of_a_client_that_never_leaves_ends(
    image: str, tmp_path: Path, tempo: Receiver
) -> None:
    tail = {"decisionWait": "1s", "errors": True}
    with running(image, tmp_path, backend=address(tempo), sampling={"tail": tail}, **ALONE) as collector:
        traffic = Traffic(collector)
        drain = Drain(collector, tmp_path)
        code, _ = drain.wait()
        traffic.stop()
        assert (code, drain.seconds < 30) == (0, True)
        assert not tempo.spans


def test_a_collector_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    settings = CollectorSettings.model_validate(PERSISTENT)
    away = Running(subprocess.Popen(["true"]), settings, 1, 1, 1, tmp_path / "log")
    drain = Drain(away, tmp_path)
    code, said = drain.wait()
    assert (code, drain.seconds < 30) == (1, True)
    assert said == "drain: the Collector does not answer; what its volume holds is not sent"


def test_a_busybox_that_would_not_run_beside_the_collector_ends_its_pod_with_the_key(tmp_path: Path) -> None:
    busybox, copy = shutil.which("busybox") or "", tmp_path / "busybox"
    script = copying_busybox().replace("/bin/busybox ", f"{busybox} ").replace(BUSYBOX, str(copy))
    needs_libraries = script.replace(f"4096 {busybox}", "4096 /bin/sh")
    failed, copied = (
        subprocess.run([busybox, "sh", "-c", text], check=False, capture_output=True, text=True)
        for text in (needs_libraries, script)
    )
    assert (failed.returncode, copied.returncode, copied.stdout) == (1, 0, "")
    assert "Set collector.queue.drain.image to one with a static busybox" in failed.stdout
    assert copy.read_bytes() == Path(busybox).read_bytes()


@pytest.mark.deep
def test_a_pod_waits_for_every_exporter(image: str, tmp_path: Path, tempo: Receiver) -> None:
    vendor = Receiver()
    vendor.go_on.clear()
    exporters = {"vendor": {"endpoint": address(vendor), "tls": {"enabled": False}}}
    with running(image, tmp_path, backend=address(tempo), exporters=exporters, **PERSISTENT) as collector:
        for _ in range(EXPORTS):
            collector.send()
        tempo.many(EXPORTS)
        drain = Drain(collector, tmp_path)
        wait_for("readings of a full queue", lambda: drain.seconds > 5)
        assert not drain.ended
        vendor.go_on.set()
        assert drain.wait()[0] == 0
    vendor.stop()
    assert len(vendor.spans) == EXPORTS


@pytest.mark.deep
def test_traces_that_wait_for_their_decision_are_sent_as_well(image: str, tmp_path: Path, tempo: Receiver) -> None:
    tail = {"decisionWait": "3s", "ratio": 1}
    with running(image, tmp_path, backend=address(tempo), sampling={"tail": tail}, **PERSISTENT) as collector:
        for _ in range(EXPORTS):
            collector.send()
        drain = Drain(collector, tmp_path)
        assert drain.wait()[0] == 0
        assert len(tempo.spans) == EXPORTS

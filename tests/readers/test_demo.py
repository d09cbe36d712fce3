"""Tests the demo on loopback: three NGINX, the Collector and Tempo, with the program's documents."""

import contextlib
import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass

import httpx
import pytest

from components.documents.demo import PAUSE_PORT, demo_settings
from lab.build.targets import NGINX
from settings import NginxSettings, Settings
from settings.demo import DEMO_PATH, DEMO_PORT, FAILED_STATUS, SHOP, SLOW_MILLISECONDS, STOCK
from tests.module.nginx import Nginx
from tests.module.upstream import Dns, documented
from tests.otlp import free_port
from tests.readers.collectors import running
from tests.readers.tempos import RunningTempo, running_tempo
from tests.waiting import wait_for
from tools.measure.configurations.documents import LAB_COLLECTORS

pytestmark = pytest.mark.usefixtures("programs")

SLOW = SLOW_MILLISECONDS / 1000


@dataclass
class Answered:
    """A request of a client, and its answer."""

    trace_id: str
    parent_id: str
    status: int
    text: str
    seconds: float


@dataclass
class Stack:
    """The stack's NGINX, the demo behind it, and the Tempo that keeps their spans."""

    nginx: Nginx
    tempo: RunningTempo

    def get(self, trace_id: str | None = None, path: str = DEMO_PATH, *, flags: str = "01") -> Answered:
        """Sends a request with a trace ID."""
        trace_id, parent_id = trace_id or secrets.token_hex(16), secrets.token_hex(8)
        began = time.monotonic()
        answer = self.nginx.get(path, traceparent=f"00-{trace_id}-{parent_id}-{flags}")
        return Answered(trace_id, parent_id, answer.status_code, answer.text, time.monotonic() - began)


@contextlib.contextmanager
def _exporting(made: NginxSettings, port: int) -> Generator[NginxSettings]:
    exporter = made.exporter.model_copy(update={"endpoint": f"127.0.0.1:{port}", "interval": "50ms"})
    yield made.model_copy(update={"exporter": exporter})


@pytest.fixture(scope="module")
def stack(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Runs all of it."""
    settings = Settings.model_validate({"demo": {"enabled": True}})
    folder = tmp_path_factory.mktemp("demo")
    services = {"nginx": settings.nginx} | demo_settings(settings)
    ports = {name: free_port() for name in services}
    pause = free_port()
    dns = Dns({f"{name}.tracing.svc.lab.test": ["127.0.0.1"] for name in (SHOP, STOCK)})
    with contextlib.ExitStack() as running_programs:
        enter = running_programs.enter_context
        tempo = enter(running_tempo(folder / "tempo"))
        (folder / "collector").mkdir()
        image = next(iter(LAB_COLLECTORS))
        collector = enter(running(image, folder / "collector", backend=tempo.backend))
        made: dict[str, Nginx] = {}
        for name in reversed(services):
            (folder / name).mkdir()
            exporter = services[name].exporter.model_copy(
                update={"endpoint": f"127.0.0.1:{collector.grpc_port}", "interval": "50ms"}
            )
            made[name] = Nginx(NGINX.folder, folder / name, ports[name])
            moved = {
                f":{PAUSE_PORT}": f":{pause}",
                f"{SHOP}.tracing.svc.lab.test:{DEMO_PORT} ": f"{SHOP}.tracing.svc.lab.test:{ports[SHOP]} ",
                f"{STOCK}.tracing.svc.lab.test:{DEMO_PORT} ": f"{STOCK}.tracing.svc.lab.test:{ports[STOCK]} ",
            }
            service = services[name].model_copy(update={"exporter": exporter})
            enter(documented(made[name], service, dns=dns, moved=moved))
        running_programs.callback(dns.stop)
        found = Stack(made["nginx"], tempo)
        wait_for("the demo", lambda: found.get().status in {200, FAILED_STATUS})
        yield found


def test_it(stack):
    for i in range(40):
        a = stack.get()
        print(a)
    print(stack.tempo.spans(a.trace_id))
    time.sleep(2)
    for s in stack.tempo.spans(a.trace_id):
        print(s)
    a = httpx.post(stack.nginx.url(DEMO_PATH), content="x" * 5000)
    print(a, a.text)

"""Provides a real NGINX with the lab's module, and a real OTLP receiver."""

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import NGINX
from lab.cluster.certificates import Authority
from lab.progress import Progress
from tests.module.nginx import Nginx
from tests.module.upstream import Application, Dns
from tests.otlp import Receiver, free_port
from tests.processes import Shared


@pytest.fixture(scope="session")
def nginx_build(request: pytest.FixtureRequest) -> Path:
    """Returns the folder with `nginx` and `ngx_otel_module.so`, and builds them if the cache lacks them."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        shared: Shared = request.getfixturevalue("shared")
        shared.install(progress)
        build([NGINX], progress)
    return NGINX.folder


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """Runs a receiver without TLS."""
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """Returns a folder with a certificate for localhost, `localhost.crt` and `.key`, and its authority, `ca.crt`."""
    Authority.create(tmp_path).issue("localhost", "localhost", hosts=("localhost",))
    return tmp_path


@pytest.fixture
def stopped_nginx(nginx_build: Path, tmp_path: Path) -> Generator[Nginx]:
    """Provides an NGINX that the test configures and starts."""
    made = Nginx(nginx_build, tmp_path, free_port())
    yield made
    made.stop()
    # NGINX restarts a worker that crashes, which a test might not notice.
    assert not re.findall(r".*(?:exited on signal|\[alert\]|\[crit\]).*", made.log())


Start = Callable[..., Nginx]


@pytest.fixture
def start(stopped_nginx: Nginx, receiver: Receiver) -> Start:
    """Returns a function that starts NGINX with an exporter to the receiver and one traced server of given content."""

    def run(
        server: str = "location / { return 200; }",
        *,
        http: str = "",
        exporter: str = "batch_count 1000;",  # So many that even a slow machine drops none.
        interval: str = "50ms",
        workers: int = 1,
    ) -> Nginx:
        stopped_nginx.write(
            f"otel_exporter {{ endpoint 127.0.0.1:{receiver.port}; interval {interval}; {exporter} }}\n"
            f"otel_trace on;\n{http}\nserver {{ listen 127.0.0.1:{stopped_nginx.port}; {server} }}",
            workers=workers,
        )
        stopped_nginx.start()
        return stopped_nginx

    return run


StartApplication = Callable[..., Application]


@pytest.fixture
def nginx(nginx_build: Path, tmp_path: Path) -> Nginx:
    """Provides an NGINX that is not running."""
    return Nginx(nginx_build, tmp_path, free_port())


@pytest.fixture
def application() -> Generator[StartApplication]:
    """Returns a function that starts applications, and ends them with the test."""
    started: list[Application] = []

    def start(**changed: Any) -> Application:
        started.append(Application(**changed))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def dns() -> Generator[Dns]:
    """Runs a nameserver without names."""
    made = Dns({})
    yield made
    made.stop()

"""Builds the real programs that these tests run."""

from collections.abc import Generator
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import (
    COLLECTORS,
    CROSSPLANE,
    NEXT_COLLECTOR,
    NGINX,
    NGINX_PLUS,
    PROMETHEUS,
    PROMTOOL,
    PULUMI,
    S3_SERVER,
    TEMPO,
)
from lab.progress import Progress
from tests.processes import Shared
from tests.readers.collectors import version_of
from tests.readers.storage import Bucket
from tools.measure.configurations.documents import LAB_COLLECTORS, NEXT_IMAGE


@pytest.fixture(
    scope="module", params=[*LAB_COLLECTORS, pytest.param(NEXT_IMAGE, marks=pytest.mark.deep)], ids=version_of
)
def image(request: pytest.FixtureRequest) -> str:
    """Returns the image of each of the lab's Collectors."""
    return request.param


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest, shared: Shared) -> None:
    """Builds those of the programs that the cache lacks, with the progress shown."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    # A first build of it takes three minutes, in which `make test` is not to wait.
    later = [NEXT_COLLECTOR] if any(item.get_closest_marker("deep") for item in request.session.items) else []
    with capture.global_and_fixture_disabled():
        progress = Progress()
        shared.install(progress)
        build([*COLLECTORS.values(), *later, CROSSPLANE, NGINX, PROMTOOL, PROMETHEUS, PULUMI, TEMPO], progress)
        # It is compiled from the other NGINX.
        build([NGINX_PLUS], progress)


@pytest.fixture(scope="session")
def s3_server(programs: None) -> None:
    """Builds the S3 server, which only tests of a bucket use."""
    build([S3_SERVER], Progress())


@pytest.fixture(scope="module")
def bucket(s3_server: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bucket]:
    """Runs an S3 server with a bucket."""
    made = Bucket(tmp_path_factory.mktemp("s3"))
    with made.served():
        yield made

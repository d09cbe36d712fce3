"""Builds the real programs that these tests run."""

from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import COLLECTOR, CROSSPLANE, NGINX, NGINX_PLUS, PROMTOOL, PULUMI, TEMPO
from lab.progress import Progress
from tests.processes import Shared


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest, shared: Shared) -> None:
    """Builds those of the programs that the cache lacks, with the progress shown."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        shared.install(progress)
        build([COLLECTOR, CROSSPLANE, NGINX, PROMTOOL, PULUMI, TEMPO], progress)
        # It is compiled from the other NGINX.
        build([NGINX_PLUS], progress)

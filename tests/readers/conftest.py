"""Builds the real programs that these tests run."""

import os
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import COLLECTOR, CROSSPLANE, NGINX, NGINX_PLUS, PROMTOOL, PULUMI, TEMPO
from lab.cluster import host
from lab.progress import Progress


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> None:
    """Builds those of the programs that the cache lacks, with the progress shown."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        if os.geteuid() == 0:
            host.install_packages(progress)
        build([COLLECTOR, CROSSPLANE, NGINX, PROMTOOL, PULUMI, TEMPO], progress)
        # It is compiled from the other NGINX.
        build([NGINX_PLUS], progress)

"""Tests the lab itself: it starts within a minute, reports that it runs, and leaves nothing behind.

They also run `make up` first and tests beside its stack afterwards, in the README's order. They start and stop the lab,
so they are skipped where one runs already.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lab.build.builder import build
from lab.build.targets import CLUSTER_TARGETS, COLLECTORS, KUBERNETES_VERSIONS, OSS_STACK_TARGETS
from lab.cluster import lifecycle
from lab.cluster.configuration import CGROUP
from lab.cluster.lifecycle import kubectl
from lab.cluster.node import cgroup_roots
from lab.cluster.version import kubernetes
from lab.paths import REPOSITORY, STATE
from lab.progress import Progress
from lab.stack import chosen_versions
from tests.lab.checkout import Checkout, up_again_and_probe
from tests.processes import LAB_TESTS_ENDED, Shared
from tools.measure.updates.foreign import snapshot

READY_LIMIT_SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def _no_lab_but_ours(shared: Shared) -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    try:
        if lifecycle.is_running():
            pytest.skip("a lab is running already, and these tests would stop it: make down lab-down")
        yield
        # Where a test failed half way.
        lifecycle.stop()
    finally:
        shared.mark(LAB_TESTS_ENDED)


@pytest.fixture(scope="module", autouse=True)
def _built(_no_lab_but_ours: None, shared: Shared, request: pytest.FixtureRequest) -> None:  # pyright: ignore[reportUnusedFunction]
    """Builds and installs all that the lab needs, and shows the progress: cold, about twenty minutes."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        shared.install(progress)
        build([kubernetes(), *CLUSTER_TARGETS, *OSS_STACK_TARGETS, COLLECTORS[chosen_versions()]], progress)


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", command],
        check=False,
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def traces_of_a_lab() -> dict[str, object]:
    """Returns everything on this machine that a lab makes outside its own folders."""
    mounts = Path("/proc/mounts").read_text().splitlines()
    rules = subprocess.run(["iptables-save"], check=False, capture_output=True, text=True).stdout
    return {
        "processes": sorted(
            process.name
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and str(STATE).encode() in _command(process)
        ),
        "mounts": [mount for mount in mounts if "nginx-tracing" in mount or "kubelet" in mount or "netns" in mount],
        "network namespaces": subprocess.run(
            ["ip", "netns", "list"], check=True, capture_output=True, text=True
        ).stdout,
        "interfaces": sorted(interface.name for interface in Path("/sys/class/net").iterdir()),
        "iptables rules": [rule for rule in rules.splitlines() if rule.startswith("-A")],
        "cgroups": [str(root / CGROUP) for root in cgroup_roots() if (root / CGROUP).exists()],
        "kernel settings": [
            Path(f"/proc/sys/{name}").read_text()
            for name in ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
        ],
        "folders": [
            folder
            for folder in (str(STATE), "/opt/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/containers")
            if Path(folder).exists()
        ],
    }


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_up_twice_a_probe_and_down_leave_no_lab_and_tests_run_beside_the_stack(tmp_path: Path) -> None:
    # Where Docker and kind are installed as well, `make up` would take those.
    checkout = Checkout.copy(tmp_path / "checkout", DOCKER_HOST="unix:///nonexistent")
    try:
        assert "Cluster: the embedded lab" in checkout.make("up")
        before = snapshot("tracing")
        run_tests_beside_the_stack()
        assert snapshot("tracing") == before
        up_again_and_probe(checkout)
    finally:
        checkout.make("down")
    assert not lifecycle.is_running()


BESIDE_THE_STACK = (
    "tests/lab/test_api_server.py",
    "tests/lab/test_limits.py::test_every_span_of_an_application_that_sends_large_ones_is_found",
)
"""Tests that would meet the objects of `make up` first: dry runs of objects of the same names, and a stack."""


def run_tests_beside_the_stack() -> None:
    """Runs some tests in the README's order: `make up`, then tests beside its stack."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *BESIDE_THE_STACK]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
    assert lifecycle.is_running(), "the lab was not these tests' own"


def test_a_lab_that_was_killed_starts_again_and_its_removal_leaves_no_trace() -> None:
    before = traces_of_a_lab()

    start = time.monotonic()
    second = run("up")
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - start < READY_LIMIT_SECONDS
    assert not re.search(r"^\W build ", second.stderr, re.MULTILINE), "everything was in the cache"
    assert "export KUBECONFIG=" in second.stdout
    assert "make lab-down" in second.stdout
    assert traces_of_a_lab()["interfaces"] != before["interfaces"], "the comparison below can see a lab"
    assert traces_of_a_lab()["processes"]

    beside = run("up")
    assert beside.returncode == 0
    assert f"already running: {kubernetes().what}" in beside.stderr
    (other,) = (version for version, target in KUBERNETES_VERSIONS.items() if target != kubernetes())
    refused = run("up", LAB_KUBERNETES=other)
    assert refused.returncode == 1
    assert f"LAB_KUBERNETES names {other}: `make down lab-down`" in refused.stderr

    kubectl("create", "namespace", "kept")
    _kill()
    again = run("up")
    assert again.returncode == 0, again.stderr
    assert kubectl("get", "namespace", "kept").returncode == 0

    _kill()
    gone = run("down")
    assert gone.returncode == 0, gone.stderr
    assert traces_of_a_lab() == before
    assert "nothing to do" in run("down").stdout


def _kill() -> None:
    os.kill(int(lifecycle.PID_FILE.read_text()), signal.SIGKILL)


def test_a_port_that_is_taken_is_named_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 5000)):
        refused = run("up")
    assert refused.returncode == 1
    assert "Port 5000 on localhost is taken" in refused.stderr
    assert f"pid={os.getpid()}" in refused.stderr
    assert not lifecycle.is_running()

"""The lab itself: it starts quickly the second time, says when it runs, and leaves nothing behind.

These tests stop the lab, so they are skipped when somebody's lab is running.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cluster import lifecycle
from lab.cluster.configuration import CGROUP
from lab.cluster.lifecycle import kubectl
from lab.cluster.node import cgroup_roots
from lab.paths import REPOSITORY, STATE

READY_LIMIT_SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def _no_lab_but_ours() -> None:  # pyright: ignore[reportUnusedFunction]
    if lifecycle.is_running():
        pytest.skip("a lab is running already, and these tests would stop it: make down lab-down")


def run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", command], check=False, cwd=REPOSITORY, capture_output=True, text=True
    )


def traces_of_a_lab() -> dict[str, object]:
    """Everything on this machine that a lab makes outside its own folders."""
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


def test_a_lab_that_was_killed_starts_again_and_its_removal_leaves_no_trace() -> None:
    # What the first start builds and installs is not what this test is about.
    assert run("up").returncode == 0
    assert run("down").returncode == 0
    before = traces_of_a_lab()

    start = time.monotonic()
    second = run("up")
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - start < READY_LIMIT_SECONDS
    assert "build" not in second.stderr, "everything was in the cache"
    assert "export KUBECONFIG=" in second.stdout
    assert "make lab-down" in second.stdout
    assert traces_of_a_lab()["interfaces"] != before["interfaces"], "the comparison below can see a lab"
    assert traces_of_a_lab()["processes"]

    beside = run("up")
    assert beside.returncode == 0
    assert "already running" in beside.stderr

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

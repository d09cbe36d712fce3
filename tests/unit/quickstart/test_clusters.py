"""The sources of the cluster of `make up`, and the clusters that it never touches."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.quickstart import clusters


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clusters, "STATE", tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("CONTEXT", raising=False)
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_kubeconfig_that_the_caller_names_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/someone/cluster")
    taken = clusters.acquire()
    assert (taken.source, taken.description) == ("yours", "your cluster (KUBECONFIG=/home/someone/cluster)")
    assert taken.stack_file == "Pulumi.dev.yaml"


def test_the_lab_s_kubeconfig_is_no_cluster_of_the_caller_s(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(clusters.LAB_KUBECONFIG))
    program(programs, "lab", "echo export KUBECONFIG=/lab/kubeconfig; echo 'export PATH=\"/lab/bin:$PATH\"'")
    monkeypatch.setattr(sys, "executable", str(programs / "lab"))
    taken = clusters.acquire()
    assert (taken.source, taken.stack_file) == ("lab", "lab/Pulumi.lab.yaml")
    monkeypatch.setenv("LAB_VERSIONS", "tutorial")
    assert clusters.acquire().stack_file == "lab/Pulumi.lab-tutorial.yaml"


def test_another_cluster_than_before_asks_for_make_down_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters.Cluster("lab", "the embedded lab", "lab/Pulumi.lab.yaml").save()
    monkeypatch.setenv("KUBECONFIG", "/home/someone/cluster")
    with pytest.raises(ToolError) as refusal:
        clusters.acquire()
    assert str(refusal.value) == (
        "The stack is up on the embedded lab, and you name your cluster (KUBECONFIG=/home/someone/cluster): "
        "`make down` first."
    )


def test_a_context_that_the_caller_names_is_the_stack_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTEXT", "staging")
    assert clusters.acquire().configuration == {"kubernetes:context": "staging"}


def test_kind_is_next_where_docker_can_pull_its_image(programs: Path) -> None:
    program(programs, "docker", "exit 0")
    program(programs, "pulumi", "exit 0")
    program(
        programs,
        "kind",
        f'echo "$@" >> {programs}/calls; [ "$1 $2" = "create cluster" ] && /bin/cat > {programs}/config; exit 0',
    )
    taken = clusters.acquire()
    assert taken.source == "kind"
    assert taken.configuration["nginx-tracing:nodeAddress"] == "localhost"
    assert f"hostPort: {taken.configuration['nginx-tracing:nginx']['nodePort']}" in (programs / "config").read_text()
    assert "create cluster --name=nginx-tracing --image=kindest/node:v1.32.2" in (programs / "calls").read_text()


def test_a_docker_that_cannot_pull_leads_to_the_lab(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "docker", '[ "$1" = info ]')
    program(programs, "pulumi", "exit 0")
    program(programs, "kind", "exit 0")
    program(programs, "lab", "echo export KUBECONFIG=/lab/kubeconfig; echo 'export PATH=\"/lab/bin:$PATH\"'")
    monkeypatch.setattr(sys, "executable", str(programs / "lab"))
    taken = clusters.acquire()
    assert (taken.source, taken.environment, taken.path) == ("lab", {"KUBECONFIG": "/lab/kubeconfig"}, "/lab/bin")


def test_a_lab_that_does_not_start_ends_it(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "lab", "exit 1")
    monkeypatch.setattr(sys, "executable", str(programs / "lab"))
    with pytest.raises(ToolError, match="The embedded lab is not up"):
        clusters.acquire()


def test_a_cluster_of_the_caller_s_own_is_never_removed(programs: Path) -> None:
    for name in ("kind", "docker", "kubectl"):
        program(programs, name, f"echo called > {programs}/called")
    clusters.remove(clusters.Cluster("yours", "your cluster", "Pulumi.dev.yaml"))
    assert not (programs / "called").exists()


@pytest.fixture
def lab(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab that starts, and notes that it was removed; it does not run yet."""
    program(
        programs,
        "lab",
        f"echo export KUBECONFIG=/lab/kubeconfig; echo 'export PATH=\"/lab/bin:$PATH\"'\n"
        f'[ "$3" = down ] && echo > {programs}/removed\nexit 0',
    )
    monkeypatch.setattr(sys, "executable", str(programs / "lab"))
    monkeypatch.setattr(clusters, "lab_is_running", lambda: False)
    return programs / "removed"


def test_a_lab_that_make_up_started_is_removed_by_make_down(lab: Path) -> None:
    taken = clusters.acquire()
    taken.save()
    clusters.remove(clusters.acquire())
    assert lab.exists()


def test_a_lab_that_ran_before_make_up_is_left(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "lab_is_running", lambda: True)
    clusters.acquire().save()
    # A second `make up` does not forget it.
    clusters.acquire().save()
    saved = clusters.saved()
    assert saved is not None
    clusters.remove(saved)
    assert not lab.exists()


def test_a_lab_that_an_interrupted_make_up_started_is_removed_by_make_down(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters.acquire()
    monkeypatch.setattr(clusters, "lab_is_running", lambda: True)
    clusters.remove(clusters.acquire())
    assert lab.exists()


def test_down_twice_is_a_clean_no_op(tmp_path: Path) -> None:
    # In a copy, where nothing is up whatever runs in this checkout.
    for package in ("tools", "lab", "settings"):
        shutil.copytree(clusters.REPOSITORY / package, tmp_path / package)
    for _ in range(2):
        down = subprocess.run(
            [sys.executable, "-m", "tools", "down"], check=False, cwd=tmp_path, capture_output=True, text=True
        )
        assert (down.returncode, down.stdout) == (0, "Nothing is up: nothing to do.\n"), down.stderr

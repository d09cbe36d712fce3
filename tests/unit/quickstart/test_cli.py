"""The Pulumi CLI that `make up` installs where there is none, with an installer that downloads nothing."""

import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest
from pulumi.automation import PulumiCommand

from tools.errors import ToolError
from tools.quickstart import cli, clusters, stack

Installer = Callable[[Path], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without `pulumi`: the folder that is its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(cli, "FOLDER", tmp_path / "cli")
    monkeypatch.setattr(cli, "BIN", tmp_path / "cli" / "bin")
    monkeypatch.setattr(clusters, "STATE", tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("CONTEXT", raising=False)
    return folder


def program(file: Path, script: str = "exit 0") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.fixture
def installer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Installer], list[str]]:
    """Replaces the SDK's installer; the list has the folders that it was given."""

    def replaced(install: Installer) -> list[str]:
        calls: list[str] = []

        def fake(root: str) -> None:
            calls.append(root)
            install(Path(root))

        monkeypatch.setattr(PulumiCommand, "install", fake)
        return calls

    return replaced


def installs(root: Path) -> None:
    program(root / "bin" / "pulumi")


def has_no_network(_: Path) -> None:
    raise urllib.error.URLError("Name or service not known")


def has_a_failing_script(_: Path) -> None:
    raise subprocess.CalledProcessError(1, "install.sh", b"Installing\nerror: failed to download\n\n")


def installs_nothing(_: Path) -> None:
    pass


def test_without_a_cli_the_version_of_the_library_is_installed_once(
    machine: Path, installer: Callable[[Installer], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = installer(installs)
    for _ in range(2):
        cli.provide_cli(str(machine))
    assert calls == [str(cli.FOLDER)]
    assert capsys.readouterr().out.splitlines() == [
        f"Pulumi CLI: not on PATH; installing version {cli.VERSION} into {cli.FOLDER} …",
        f"Pulumi CLI: version {cli.VERSION} is installed",
    ]


def test_a_cli_on_path_is_used(machine: Path, installer: Callable[[Installer], list[str]]) -> None:
    calls = installer(installs)
    program(machine / "pulumi")
    cli.provide_cli(str(machine))
    assert calls == []


@pytest.mark.parametrize(
    ("install", "reason"),
    [
        (has_no_network, "<urlopen error Name or service not known>"),
        (has_a_failing_script, "error: failed to download"),
        (installs_nothing, "pulumi does not exist"),
    ],
)
def test_an_installation_that_fails_is_told_with_its_reason_and_what_to_do(
    machine: Path, installer: Callable[[Installer], list[str]], install: Installer, reason: str
) -> None:
    installer(install)
    with pytest.raises(ToolError) as failed:
        cli.provide_cli(str(machine))
    first, second = str(failed.value).splitlines()
    assert first.startswith(
        f"The Pulumi CLI (`pulumi`) is not on PATH, and version {cli.VERSION} could not be installed"
    )
    assert f"{reason}." in first
    assert second == "Install it as its documentation says, and repeat this command."


def test_docker_and_kind_are_enough_for_a_kind_cluster(
    machine: Path, installer: Callable[[Installer], list[str]]
) -> None:
    calls = installer(installs)
    program(machine / "docker")
    program(machine / "kind", 'case "$1" in create) /bin/cat >/dev/null; esac')
    taken = clusters.acquire()
    assert (taken.source, len(calls)) == ("kind", 1)
    assert stack.path_for(taken).endswith(f":{cli.BIN}")


def test_a_cli_that_cannot_be_installed_leads_to_the_lab_which_builds_one(
    machine: Path,
    installer: Callable[[Installer], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    installer(has_no_network)
    program(machine / "docker")
    program(machine / "kind", f"[ $1 = create ] && echo called >> {machine / 'kind-was-called'}")
    program(machine / "lab", "echo export KUBECONFIG=/lab/kubeconfig; echo 'export PATH=\"/lab/bin:$PATH\"'")
    monkeypatch.setattr("sys.executable", str(machine / "lab"))
    assert clusters.acquire().source == "lab"
    assert "kind: passed over. The Pulumi CLI (`pulumi`) is not on PATH" in capsys.readouterr().out
    assert not (machine / "kind-was-called").exists()

"""The one runner of the Pulumi CLI, with a `pulumi` that answers anything."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.pulumi_cli import PulumiCli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH whose `pulumi` a test writes."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def pulumi(folder: Path, script: str) -> None:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_command_runs_without_a_terminal_in_the_program_s_folder_on_the_stack_that_is_named(folder: Path) -> None:
    pulumi(folder, 'echo "$PWD: $*"; cat')
    assert PulumiCli("dev").must("preview") == f"{REPOSITORY}: --non-interactive --color=never preview --stack dev\n"
    assert PulumiCli(folder=folder).must("preview") == f"{folder}: --non-interactive --color=never preview\n"


def test_a_command_that_fails_is_told_as_a_person_types_it_with_what_it_printed(folder: Path) -> None:
    pulumi(folder, "echo output; echo 'error: locked' >&2; exit 255")
    cli = PulumiCli("dev")
    assert cli.run("up").returncode == 255
    with pytest.raises(ToolError) as failed:
        cli.must("up", "--message", "two words")
    assert str(failed.value) == (
        "`pulumi up --message 'two words' --stack dev` exited with 255.\noutput\nerror: locked"
    )


def test_a_machine_without_the_cli_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"`pulumi` was not found on PATH\. Install the Pulumi CLI, or use `make up`"):
        PulumiCli().run("up")


def test_only_a_secret_value_is_decrypted(folder: Path) -> None:
    listed = {"kubernetes:context": {"value": "prod", "secret": False}, "kubernetes:kubeconfig": {"secret": True}}
    pulumi(
        folder,
        f"""
        echo "$*" >> {folder}/asked
        [ "$4" = --json ] && echo '{json.dumps(listed)}' && exit
        echo contents
        """,
    )
    keys = ("kubernetes:context", "kubernetes:kubeconfig", "kubernetes:namespace")
    assert PulumiCli().configured(*keys) == {"kubernetes:context": "prod", "kubernetes:kubeconfig": "contents"}
    assert [line.split()[2:] for line in (folder / "asked").read_text().splitlines()] == [
        ["config", "--json"],
        ["config", "get", "kubernetes:kubeconfig"],
    ]


@pytest.mark.parametrize("forwards", [True, False])
def test_an_interrupt_waits_for_pulumi_which_a_kill_would_leave_locked(folder: Path, forwards: bool) -> None:
    # It ends by itself, or at once when it is interrupted.
    pulumi(
        folder,
        f"""
        trap 'echo interrupted > {folder}/ended; exit 1' INT
        echo started > {folder}/started
        for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done
        echo whole > {folder}/ended
        """,
    )
    program = (
        "import signal; from tools.pulumi_cli import PulumiCli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"PulumiCli().show('up', forwards_interrupt={forwards})"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        wait_for("the start of pulumi", (folder / "started").exists)
        # To the one process alone; Ctrl-C in a terminal reaches both.
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        process.wait()
    assert process.returncode != 0
    assert time.monotonic() - start < 10
    assert (folder / "ended").read_text() == ("interrupted\n" if forwards else "whole\n")


def test_an_interrupt_while_pulumi_starts_waits_for_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi(folder, f"sleep 0.2; echo whole > {folder}/ended")
    start = subprocess.Popen.__init__

    def interrupted(*arguments: Any, **options: Any) -> None:
        start(*arguments, **options)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "__init__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            PulumiCli().run("up")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (folder / "ended").read_text() == "whole\n"

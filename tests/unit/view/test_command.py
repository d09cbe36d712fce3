"""Tests the command: how it reaches Tempo, what it prints, and that nothing is left when it ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.paths import REPOSITORY
from tests.otlp import free_port
from tests.unit.view.conftest import FakeTempo
from tests.waiting import wait_for
from tools.cluster import Access
from tools.view.command import main
from tools.view.forward import forwarded

KUBECTL = """\
#!/bin/sh
echo "$$ $*" >> {folder}/kubectl.log
for argument; do case $argument in --kubeconfig=*) cp "${{argument#*=}}" {folder}/kubeconfig-seen; \
stat -c %a "${{argument#*=}}" > {folder}/kubeconfig-mode;; esac; done
{acts}
"""
FORWARDS = 'echo "Forwarding from 127.0.0.1:{port} -> 3100"; exec tail -f /dev/null'


@dataclass
class Running:
    """The command, which runs."""

    process: subprocess.Popen[str]
    printed: str
    url: str

    def end(self, how: signal.Signals) -> int:
        """Ends it by a signal; returns its exit code."""
        self.process.send_signal(how)
        return self.process.wait(20)


@dataclass
class Command:
    """Runs the command with outputs of a stack."""

    folder: Path
    running: list[Running]

    def write(self, **outputs: str) -> str:
        """Writes a file with the outputs of a stack, and returns its name."""
        file = self.folder / "outputs.json"
        file.write_text(json.dumps({"nginxUrl": "http://127.0.0.1:1", "namespace": "traced"} | outputs))
        return str(file)

    def kubectl(self, acts: str) -> None:
        """Puts a kubectl on PATH."""
        program = self.folder / "kubectl"
        program.write_text(KUBECTL.format(folder=self.folder, acts=acts))
        program.chmod(0o755)

    def start(self, *arguments: str, environment: dict[str, str] | None = None, **outputs: str) -> Running:
        """Starts the command, and waits for the page's address."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tools", "view", "--outputs", self.write(**outputs), "--port=0", *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"} | (environment or {}),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("End "):
                break
        found = re.search(r"http://127\.0\.0\.1:\d+(?=/zipkin/)", printed)
        assert found, printed
        self.running.append(Running(process, printed, found[0]))
        return self.running[-1]

    def calls(self) -> list[str]:
        """Returns the processes of kubectl and their arguments."""
        return (self.folder / "kubectl.log").read_text().splitlines()


@pytest.fixture
def command(tmp_path: Path) -> Generator[Command]:
    """Returns the command; what still runs at the end of the test is killed."""
    made = Command(tmp_path, [])
    yield made
    for running in made.running:
        running.process.kill()
        running.process.communicate()


def services(url: str) -> int:
    return httpx.get(f"{url}/zipkin/api/v2/services", trust_env=False).status_code


@pytest.fixture
def known(tempo: FakeTempo) -> FakeTempo:
    """Returns a Tempo that knows its services."""
    tempo.answers["/api/v2/search/tag/resource.service.name/values"] = 200, "{}"
    return tempo


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_the_page_s_address_and_ends_by_a_signal(
    command: Command, known: FakeTempo, how: signal.Signals
) -> None:
    running = command.start(tempoUrl=known.server.url)
    assert services(running.url) == 200
    assert f"Traces  {running.url}/zipkin/\nRates   {running.url}/rates\nEnd     Ctrl-C\n" in running.printed
    assert running.end(how) == 0
    with pytest.raises(httpx.ConnectError):
        services(running.url)


def test_a_tempo_that_only_pods_reach_gets_a_forwarded_port(command: Command, known: FakeTempo) -> None:
    command.kubectl(FORWARDS.format(port=known.server.url.rpartition(":")[2]))
    running = command.start("--context", "mine", tempoUrl="http://tempo.traced.svc:3100")
    assert services(running.url) == 200
    (call,) = command.calls()
    pid, _, arguments = call.partition(" ")
    assert arguments == "--context=mine --namespace=traced port-forward --address=127.0.0.1 service/tempo :3100"
    assert running.end(signal.SIGINT) == 0
    wait_for("the end of kubectl", lambda: not Path(f"/proc/{pid}").exists())


def test_so_does_one_whose_node_this_machine_does_not_reach(command: Command, known: FakeTempo) -> None:
    command.kubectl(FORWARDS.format(port=known.server.url.rpartition(":")[2]))
    closed = f"http://127.0.0.1:{free_port()}"
    running = command.start(tempoUrl=closed)
    assert f"Tempo's address {closed} is not reached from here" in running.printed
    assert services(running.url) == 200


def test_a_forwarding_that_ends_with_its_pod_starts_again_on_the_same_port(command: Command, known: FakeTempo) -> None:
    port = known.server.url.rpartition(":")[2]
    command.kubectl(FORWARDS.format(port=port))
    running = command.start(tempoUrl="http://tempo.traced.svc:3100")
    (first,) = command.calls()
    os.kill(int(first.partition(" ")[0]), signal.SIGKILL)
    again = wait_for("kubectl to start again", lambda: command.calls()[1:])
    assert again[0].endswith(f" {port}:3100")
    assert services(running.url) == 200


def test_without_a_way_the_person_is_told_what_kubectl_says(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.kubectl("echo 'error: services \"tempo\" not found' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert main(["--outputs", command.write(tempoUrl="http://tempo.traced.svc:3100")]) == 2
    assert capsys.readouterr().err == (
        'error: There is no way to Tempo: `kubectl port-forward service/tempo` says error: services "tempo" not found\n'
    )


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({}, "This stack has no Tempo of its own (`tempo.enabled` is false)"),
        ({"tempoUrl": "http://tempo.traced.svc:3100"}, "`kubectl` was not found on PATH"),
    ],
)
def test_what_cannot_be_shown_is_said(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outputs: dict[str, str],
    says: str,
) -> None:
    monkeypatch.setenv("PATH", str(command.folder))
    assert main(["--outputs", command.write(**outputs)]) == 2
    assert says in capsys.readouterr().err


def test_a_port_that_is_taken_is_named_with_the_way_out(
    command: Command, known: FakeTempo, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = known.server.url.rpartition(":")[2]
    assert main(["--outputs", command.write(tempoUrl=known.server.url), "--port", taken]) == 2
    assert f"Port {taken} of 127.0.0.1 cannot be used: Address already in use" in capsys.readouterr().err
    assert "python -m tools view --port 9412" in Path("docs/how-to/look-at-traces.md").read_text()


def test_the_password_is_in_no_list_of_processes(command: Command, known: FakeTempo) -> None:
    command.kubectl(FORWARDS.format(port=known.server.url.rpartition(":")[2]))
    running = command.start(
        environment={"TEMPO_PASSWORD": "hidden-word"}, tempoUrl="http://tempo.traced.svc:3100", tempoUser="tempo"
    )
    assert services(running.url) == 200
    assert known.asked[-1][2]["authorization"].startswith("Basic ")
    pids = [running.process.pid, int(command.calls()[0].partition(" ")[0])]
    listed = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
    assert not any("hidden-word" in line for line in [*listed, running.printed])


def test_a_password_that_tempo_refuses_is_told(
    command: Command, known: FakeTempo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known.answers["/api/echo"] = 401, "no"
    monkeypatch.setenv("TEMPO_PASSWORD", "wrong")
    assert main(["--outputs", command.write(tempoUrl=known.server.url, tempoUser="tempo")]) == 2
    assert "refuses the password of its API" in capsys.readouterr().err


def test_contents_of_a_kubeconfig_are_kubectl_s_to_read_and_nobody_else_s(command: Command, known: FakeTempo) -> None:
    command.kubectl(FORWARDS.format(port=known.server.url.rpartition(":")[2]))
    contents = "apiVersion: v1\nkind: Config\n"

    async def forward() -> str:
        async with forwarded("traced", Access(contents)) as url:
            return url

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{command.folder}:{os.environ['PATH']}")
        assert asyncio.run(forward()) == known.server.url
    assert (command.folder / "kubeconfig-seen").read_text() == contents
    assert (command.folder / "kubeconfig-mode").read_text() == "600\n"
    (named,) = re.findall(r"--kubeconfig=(\S+)", command.calls()[0])
    assert not Path(named).exists()

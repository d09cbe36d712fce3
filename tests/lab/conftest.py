"""The real cluster, engine and programs that the tests in this folder run against.

Each module gets a running lab; it is removed at the end if the tests started it.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lab.build.targets import KUBERNETES
from lab.cluster import lifecycle
from lab.cluster.lifecycle import in_pod, kubectl
from lab.paths import KUBECONFIG, REPOSITORY
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.lab_stack import Stack

NAMESPACE = "tracing-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of the lab itself come first: they stop it, so they do not run once others have it."""
    items.sort(key=lambda item: item.path.name != "test_lab.py")


@pytest.fixture(scope="session", autouse=True)
def _leave_the_lab_as_found() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the embedded lab needs root on Linux")
    was_running = lifecycle.is_running()
    yield
    if not was_running:
        lifecycle.stop()


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> None:
    """A running lab, with its progress shown: a first build takes half an hour."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        subprocess.run([sys.executable, "-m", "lab", "up"], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def objects(*arguments: str) -> list[dict[str, Any]]:
    """What `kubectl get … --output=json` lists."""
    listed = kubectl("get", *arguments, "--output=json")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["items"]


@pytest.fixture(scope="module")
def stack(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """The program, deployed once for the module."""
    folder = tmp_path_factory.mktemp("stack") / "program"
    made = Stack.lay_out(folder, "test", NAMESPACE)
    try:
        made.up()
        # Every pod is Ready then; the node's rules for a NodePort follow within a second or two.
        outputs = made.outputs()
        for url in (outputs["nginxUrl"], f"{outputs['tempoUrl']}/ready"):
            wait_for(url, lambda url=url: answers(url), seconds=30)
        yield made
    finally:
        made.pulumi("destroy", "--yes", "--skip-preview")


@contextlib.contextmanager
def forwarded(target: str, port: int) -> Generator[int]:
    """A port of this machine that leads to one of a pod or a Service, as a person with `kubectl` makes it."""
    local = free_port()
    command = [str(KUBERNETES.folder / "kubectl"), f"--kubeconfig={KUBECONFIG}", f"--namespace={NAMESPACE}"]
    process = subprocess.Popen([*command, "port-forward", target, f"{local}:{port}"], stdout=subprocess.DEVNULL)
    try:
        wait_for("the forwarded port", lambda: _is_taken(local))
        yield local
    finally:
        process.terminate()
        process.wait()


def _is_taken(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def connects(pod: str, host: str, port: int) -> bool:
    """Whether a connection from a pod, named by its address, is taken."""
    script = f"import socket; socket.create_connection(({host!r}, {port}), timeout=2)"
    done = subprocess.run(in_pod(pod, sys.executable, "-c", script), check=False, capture_output=True, text=True)
    assert done.returncode == 0 or "Error" in done.stderr, done.stderr
    return done.returncode == 0


def answers(url: str) -> bool:
    """Whether a URL is answered with success; also while nobody listens."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


PARENT_ID = "b7ad6b7169203331"
"""The span that requests name as their parent."""


def hexadecimal(identifier: str) -> str:
    """An identifier of a span as headers and logs write it; Tempo's JSON has it in base64."""
    return base64.b64decode(identifier).hex()


@dataclass
class Span:
    """A span as Tempo returns it, attributes as plain values."""

    resource: dict[str, Any]
    scope: dict[str, Any]
    fields: dict[str, Any]
    attributes: dict[str, Any]


def probe(stack: Stack, *flags: str) -> tuple[int, dict[str, Any]]:
    """Runs the probe on the stack: its exit code and its JSON document."""
    command = [sys.executable, "-m", "tools", "probe", "--outputs=-", "--json", *flags]
    done = subprocess.run(
        command,
        check=False,
        cwd=REPOSITORY,
        env=stack.environment,
        input=json.dumps(stack.outputs()),
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def find_spans(tempo_url: str, trace_id: str, name: str = "/") -> list[Span]:
    """The spans of a trace that have a name, waited for: one at least."""

    def look() -> list[Span] | None:
        answer = httpx.get(f"{tempo_url}/api/traces/{trace_id}", headers={"Accept": "application/json"}, timeout=5)
        found = _spans(answer.json()) if answer.is_success else []
        return [span for span in found if span.fields["name"] == name] or None

    return wait_for(f"trace {trace_id} in Tempo", look, seconds=30)


def search(tempo_url: str, query: str, **window: int) -> list[str]:
    """The IDs of the traces that a TraceQL query finds, of a window from `start` to `end` (Unix seconds) if given."""
    answer = httpx.get(f"{tempo_url}/api/search", params={"q": query, **window}, timeout=5)
    traces: list[dict[str, str]] = answer.json().get("traces") or []
    return [trace["traceID"].zfill(32) for trace in traces]


def _spans(trace: dict[str, Any]) -> list[Span]:
    return [
        Span(_plain(batch["resource"]["attributes"]), scope.get("scope", {}), span, _plain(span["attributes"]))
        for batch in trace["batches"]
        for scope in batch["scopeSpans"]
        for span in scope["spans"]
    ]


def _plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    def value(typed: dict[str, Any]) -> Any:
        (kind, content), *_ = typed.items()
        return int(content) if kind == "intValue" else content

    return {attribute["key"]: value(attribute["value"]) for attribute in attributes}

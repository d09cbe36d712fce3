"""The real cluster, engine and programs that the tests in this folder run against.

Each module deploys to namespaces of its own, so that modules may run at the same time, and beside the stack of
`make up`. A lab is started if none runs, and is removed at the end if the tests started it.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab.build import images
from lab.build.builder import build
from lab.build.target import Target
from lab.build.targets import COLLECTORS
from lab.cluster import lifecycle
from lab.cluster.lifecycle import in_pod, kubectl, kubectl_command
from lab.paths import REPOSITORY
from lab.progress import Progress
from lab.stack import provide_images
from tests.otlp import free_port
from tests.processes import LAB_IS_OURS, LAB_IS_READY, LAB_TESTS_ENDED, Shared
from tests.waiting import wait_for
from tools.lab_stack import Stack

FIRST_BUILD_SECONDS = 7200
"""The longest wait for the tests of the lab itself: where nothing is cached they build it, in an hour on busy cores."""

LITTLE_CPU = "20m"
"""What each container of most tests' stacks asks for: the node has two cores, and several stacks run at a time."""

SERVES_SECONDS = 60
"""From the end of `pulumi up` to the first answer: a second or two, more while other processes compute."""


@pytest.fixture(scope="session", autouse=True)
def _root_on_linux() -> None:  # pyright: ignore[reportUnusedFunction]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the embedded lab needs root on Linux")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, shared: Shared) -> None:
    """Makes sure that a lab runs, and shows the progress: a first build takes about twenty minutes."""
    if shared.waits_for_lab_tests:
        wait_for("the tests of the lab itself", lambda: shared.has(LAB_TESTS_ENDED), seconds=FIRST_BUILD_SECONDS)
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with shared.locked("lab"):
        is_running = lifecycle.is_running()
        if is_running and shared.has(LAB_IS_READY):
            return
        if not is_running:
            shared.mark(LAB_IS_OURS)
        with capture.global_and_fixture_disabled():
            shared.install(Progress())
            subprocess.run([sys.executable, "-m", "lab", "up"], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        shared.mark(LAB_IS_READY)


def provide(
    request: pytest.FixtureRequest, *sets: str, targets: Sequence[Target] = (), collectors: Sequence[Target] = ()
) -> None:
    """Provides the images of sets of versions and of Collectors to the lab, and builds targets.

    It shows the progress.
    """
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        build([*(COLLECTORS[versions] for versions in sets), *collectors, *targets], progress)
        for versions in sets:
            provide_images(progress, versions)
        own = [images.collector_image(collector) for collector in collectors]
        if own:
            images.push(own, progress)
            lifecycle.pull(own, progress)


def objects(*arguments: str) -> list[dict[str, Any]]:
    """Returns the objects that `kubectl get … --output=json` lists."""
    listed = kubectl("get", *arguments, "--output=json")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["items"]


def remove_namespaces(*names: str, wait: bool = False) -> None:
    """Removes namespaces with all that is in them, if they exist.

    A test that is about to end does not wait: that takes up to 45 s, and no other test uses the same namespace. One
    that waits ends pods at once: an ingester would try for 20 minutes to write to a bucket of an interrupted run.
    """
    for name in names if wait else ():
        kubectl("delete", "all", "--all", f"--namespace={name}", "--force", "--grace-period=0", "--wait=false")
    kubectl("delete", "namespace", *names, "--ignore-not-found", f"--wait={str(wait).lower()}")


@contextlib.contextmanager
def laid_out(folder: Path, name: str, namespace: str, *, cpu: str | None = LITTLE_CPU) -> Generator[Stack]:
    """Yields a stack that is not deployed yet, and removes its namespace at the end, whoever made it.

    Args:
        folder: where its program is copied to; made here.
        name: the stack.
        namespace: what it deploys to. One that an interrupted run has left is removed first.
        cpu: what each container asks for; the program's own default if none.
    """
    remove_namespaces(namespace, wait=True)
    made = Stack.lay_out(folder, name, namespace)
    if cpu:
        file = folder / f"Pulumi.{name}.yaml"
        document = yaml.safe_load(file.read_text())
        for component in ("nginx", "collector", "tempo"):
            document["config"][f"nginx-tracing:{component}"]["resources"] = {"cpu": cpu}
        file.write_text(yaml.safe_dump(document))
    try:
        yield made
    finally:
        remove_namespaces(namespace)


def deploy(stack: Stack) -> dict[str, Any]:
    """Deploys a stack, waits until NGINX and Tempo answer, and returns the stack's outputs.

    Every pod is Ready when `pulumi up` ends; the node's rules for a NodePort follow within a second or two.
    """
    stack.up()
    outputs = stack.outputs()
    for url in (outputs["nginxUrl"], f"{outputs['tempoUrl']}/ready"):
        wait_for(url, lambda url=url: answers(url), seconds=SERVES_SECONDS)
    return outputs


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest) -> str:
    """Returns the `NAMESPACE` of the module."""
    return str(request.module.NAMESPACE)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


@pytest.fixture(scope="module")
def stack(lab: None, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys the program once for the module, as a stack that is named by the last part of the namespace."""
    folder = tmp_path_factory.mktemp("stack") / "program"
    with laid_out(folder, namespace.rpartition("-")[2], namespace) as made:
        deploy(made)
        yield made


@contextlib.contextmanager
def forwarded(namespace: str, target: str, port: int) -> Generator[int]:
    """Forwards a port of this machine to one of a pod or a Service, as a person does with `kubectl`."""
    local = free_port()
    command = kubectl_command(f"--namespace={namespace}", "port-forward", target, f"{local}:{port}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
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
    """Returns whether a host accepts a connection from the pod that has an address."""
    script = f"import socket; socket.create_connection(({host!r}, {port}), timeout=2)"
    done = subprocess.run(in_pod(pod, sys.executable, "-c", script), check=False, capture_output=True, text=True)
    assert done.returncode == 0 or "Error" in done.stderr, done.stderr
    return done.returncode == 0


def answers(url: str) -> bool:
    """Returns whether a URL answers with success; it does not while no server listens."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


PARENT_ID = "b7ad6b7169203331"
"""The parent span that requests name."""


def hexadecimal(identifier: str) -> str:
    """Converts an identifier of a span from base64, as in Tempo's JSON, to what headers and logs write."""
    return base64.b64decode(identifier).hex()


@dataclass
class Span:
    """Holds a span as Tempo returns it, with its attributes as plain values."""

    resource: dict[str, Any]
    scope: dict[str, Any]
    fields: dict[str, Any]
    attributes: dict[str, Any]


def probe(stack: Stack, *flags: str) -> tuple[int, dict[str, Any]]:
    """Runs the probe on the stack, and returns its exit code and its JSON document."""
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
    """Waits until Tempo has at least one span of a trace with a name, and returns all of them."""

    def look() -> list[Span] | None:
        answer = httpx.get(f"{tempo_url}/api/traces/{trace_id}", headers={"Accept": "application/json"}, timeout=5)
        found = _spans(answer.json()) if answer.is_success else []
        return [span for span in found if span.fields["name"] == name] or None

    return wait_for(f"trace {trace_id} in Tempo", look, seconds=30)


def search(tempo_url: str, query: str, **window: int) -> list[str]:
    """Returns the IDs of the traces that a TraceQL query finds, from `start` to `end` (Unix seconds) if given."""
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

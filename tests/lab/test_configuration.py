"""Tests the configuration on a running stack: sampling, routes, a second backend, and secrets that stay unseen.

The tests of this module share one stack and run in the order that they are written in.
"""

import base64
import http.server
import json
import os
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import PARENT_ID, Stack, answers, deploy, find_spans, hexadecimal, laid_out, objects
from tests.otlp import Receiver, free_port
from tests.waiting import wait_for

NAMESPACE = "tracing-configuration"
HEADER = "canary-$HOME-${env:HOME}: {text}"
"""The header holds texts that the Collector would replace in its configuration, or read as YAML."""


@pytest.fixture(scope="module")
def backend() -> Generator[Receiver]:
    """Runs a second backend on the host."""
    made = Receiver(HOST_ADDRESS)
    yield made
    made.stop()


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers each request with the headers that it got, trace context included."""

    def do_GET(self) -> None:
        """Answers."""
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


@pytest.fixture(scope="module")
def upstream() -> Generator[str]:
    """Runs an application behind NGINX, and yields its address."""
    server = http.server.ThreadingHTTPServer((HOST_ADDRESS, free_port()), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{HOST_ADDRESS}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def stack(lab: None, backend: Receiver, upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys the program once with every part that the tests need, set as people do."""
    with laid_out(tmp_path_factory.mktemp("stack") / "program", "configuration", NAMESPACE) as made:
        made.configure(
            {
                "nginx.routes[0].path": "/",
                "nginx.routes[0].root": "/usr/share/nginx/html",
                "nginx.routes[1].path": "/fail",
                "nginx.routes[1].return.status": "503",
                "nginx.routes[2].path": "/shop/",
                "nginx.routes[2].upstream": upstream,
                "nginx.routes[2].spanName": "$request_method /shop/",
                "nginx.routes[2].spanAttributes.upstream": "$upstream_addr",
                "nginx.routes[3].path": "/healthz",
                "nginx.routes[3].match": "exact",
                "nginx.routes[3].return.status": "204",
                "nginx.routes[3].traced": "false",
                "nginx.resourceAttributes.team": "platform",
                "collector.exporters.second.endpoint": f"{HOST_ADDRESS}:{backend.port}",
                "collector.exporters.second.tls.enabled": "false",
            }
        )
        made.must("config", "set", "--secret", "--path", "collector.exporters.second.headers.x-key", HEADER)
        deploy(made)
        settle(made)
        yield made


def url(stack: Stack, output: str) -> str:
    """Returns a URL among the stack's outputs, which do not change in these tests."""
    if stack.folder not in _OUTPUTS:
        _OUTPUTS[stack.folder] = stack.outputs()
    return _OUTPUTS[stack.folder][output]


_OUTPUTS: dict[Path, dict[str, str]] = {}


def settle(stack: Stack) -> None:
    """Waits until the pods from before the last change are gone and NGINX answers."""

    def is_settled() -> bool:
        pods = objects("pods", f"--namespace={NAMESPACE}")
        wanted = sum(
            owner["spec"]["replicas"] for owner in objects("deployments,statefulsets", f"--namespace={NAMESPACE}")
        )
        # A surplus pod is an old one that has not been told to end yet.
        is_alone = len(pods) == wanted and not any("deletionTimestamp" in pod["metadata"] for pod in pods)
        return is_alone and answers(f"{url(stack, 'nginxUrl')}/healthz")

    wait_for("the rollout's end", is_settled, seconds=60)


def get(stack: Stack, path: str = "/", trace_id: str = "", flags: str = "01") -> httpx.Response:
    """Sends a request, as a part of a trace if one is named."""
    headers = {"traceparent": f"00-{trace_id}-{PARENT_ID}-{flags}"} if trace_id else {}
    return httpx.get(f"{url(stack, 'nginxUrl')}{path}", headers=headers, timeout=10)


def received(stack: Stack, backend: Receiver, mark: str) -> set[str]:
    """Returns the IDs of the traces that the second backend has of requests whose target ends with a mark.

    All of them: requests that are always traced have followed, and have arrived. More than one, since each worker of
    NGINX exports by itself, to one of two Collectors.
    """
    last = {os.urandom(16).hex() for _ in range(10)}
    for trace_id in last:
        # An error, which every kind of sampling here keeps.
        assert get(stack, "/fail", trace_id).status_code == 503
    wait_for("the last spans", lambda: last <= {span.trace_id for span in backend.spans}, seconds=30)
    return {span.trace_id for span in backend.spans if span.attributes.get("http.target", "").endswith(mark)}


def test_what_was_configured_is_deployed_whole(stack: Stack) -> None:
    stack.must("preview", "--expect-no-changes")


def test_a_preview_with_five_errors_names_all_five_and_no_line_of_the_program(stack: Stack) -> None:
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    before = file.read_text()
    stack.configure(
        {
            "nginx.replicsa": "3",
            "nginx.sampling.ratio": "10%",
            "nginx.exporter.interval": "5",
            "collector.batch.timeout": "1",
            "tempo.retention": "1m",
        }
    )
    try:
        failed = stack.pulumi("preview")
    finally:
        file.write_text(before)
    assert failed.returncode != 0
    assert f"5 errors in the configuration of stack {stack.name}; nothing was changed." in failed.stdout
    assert failed.stdout.count("\n        pulumi config ") + failed.stdout.count("\n    pulumi config ") >= 5
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "canary" not in failed.stdout + failed.stderr


def test_a_second_backend_gets_the_same_spans_with_its_header_as_it_was_set(stack: Stack, backend: Receiver) -> None:
    trace_ids = [os.urandom(16).hex() for _ in range(20)]
    for trace_id in trace_ids:
        get(stack, "/?second", trace_id)
    assert received(stack, backend, "?second") == set(trace_ids)
    for trace_id in trace_ids[:3]:
        assert find_spans(url(stack, "tempoUrl"), trace_id)
    assert {metadata["x-key"] for metadata in backend.metadata} == {HEADER}
    ours = [span for span in backend.spans if span.trace_id in trace_ids]
    assert {span.resource["team"] for span in ours} == {"platform"}


def test_the_header_is_in_no_place_but_its_secret(stack: Stack, tmp_path: Path) -> None:
    everything = {
        "state": stack.must("stack", "export"),
        "outputs": stack.must("stack", "output", "--json"),
        "preview": stack.must("preview", "--diff", "--refresh"),
        "stack file": (stack.folder / f"Pulumi.{stack.name}.yaml").read_text(),
        "objects but Secrets": json.dumps(
            [*objects("configmaps,pods,deployments,replicasets", f"--namespace={NAMESPACE}")]
        ),
    }
    assert {place for place, text in everything.items() if _has_canary(text)} == set()
    assert _has_canary(stack.must("stack", "export", "--show-secrets")), "the search would find it"


def _has_canary(text: str) -> bool:
    """Returns whether a text has the header's value, as it is or as a Secret holds it."""
    return "canary" in text or base64.b64encode(b"canary").decode()[:-2] in text


def test_an_upstream_is_given_the_trace_with_the_span_of_its_time_as_its_parent(stack: Stack) -> None:
    trace_id = os.urandom(16).hex()
    seen = get(stack, "/shop/cart?id=1", trace_id).json()
    (span,) = find_spans(url(stack, "tempoUrl"), trace_id, "GET /shop/")
    (of_upstream,) = find_spans(url(stack, "tempoUrl"), trace_id, f"GET {HOST_ADDRESS}")
    version, given_trace, given_parent, flags = seen["traceparent"].split("-")
    assert (version, given_trace, flags) == ("00", trace_id, "01")
    assert given_parent == hexadecimal(of_upstream.fields["spanId"])
    assert of_upstream.fields["kind"] == "SPAN_KIND_CLIENT"
    assert of_upstream.fields["parentSpanId"] == span.fields["spanId"]
    assert hexadecimal(span.fields["parentSpanId"]) == PARENT_ID
    assert span.attributes["upstream"].startswith(HOST_ADDRESS)
    assert seen["X-Forwarded-Proto"] == "http"


def test_a_line_of_the_log_joins_its_trace(stack: Stack) -> None:
    trace_id = os.urandom(16).hex()
    get(stack, "/?joined", trace_id)
    (span,) = find_spans(url(stack, "tempoUrl"), trace_id)
    log = kubectl("logs", "deployment/nginx", f"--namespace={NAMESPACE}").stdout
    (line,) = [json.loads(line) for line in log.splitlines() if trace_id in line]
    assert line["request"] == "GET /?joined HTTP/1.1"
    assert (line["trace_id"], line["span_id"]) == (trace_id, hexadecimal(span.fields["spanId"]))


def test_a_route_that_is_not_traced_makes_no_span(stack: Stack, backend: Receiver) -> None:
    trace_id = os.urandom(16).hex()
    assert get(stack, "/healthz?untraced", trace_id).status_code == 204
    assert received(stack, backend, "?untraced") == set()


@pytest.mark.deep  # tests/readers/test_sampled_metrics.py: the same ratio of the same NGINX, without a cluster.
def test_a_ratio_of_a_tenth_traces_a_tenth(stack: Stack, backend: Receiver) -> None:
    stack.configure({"nginx.sampling.ratio": "0.1"})
    stack.up()
    settle(stack)
    address = f"{url(stack, 'nginxUrl')}/?tenth"
    with httpx.Client() as client:
        for _ in range(2000):
            client.get(address)
    found = len(received(stack, backend, "?tenth"))
    # 200 expected; within four standard deviations (13.4), which a fair draw leaves once in 16 000 runs.
    assert 147 <= found <= 253


@pytest.mark.deep  # tests/module/test_spans.py: the module's decision with and without a parent.
def test_a_parent_decides_and_the_ratio_only_without_one(stack: Stack, backend: Receiver) -> None:
    stack.configure({"nginx.sampling.ratio": "0"})
    stack.up()
    settle(stack)
    sampled, unsampled = os.urandom(16).hex(), os.urandom(16).hex()
    get(stack, "/?parent", sampled, "01")
    get(stack, "/?parent", unsampled, "00")
    for _ in range(50):
        get(stack, "/?parent")
    assert received(stack, backend, "?parent") == {sampled}


def test_tail_sampling_keeps_every_error_and_nothing_else(stack: Stack, backend: Receiver) -> None:
    stack.configure(
        {
            "nginx.sampling.ratio": "1",
            "collector.distribution": "k8s",
            "collector.kubernetesAttributes": "true",
            "collector.sampling.tail.decisionWait": "1s",
        }
    )
    stack.up()
    settle(stack)
    errors = {os.urandom(16).hex() for _ in range(25)}
    for trace_id in errors:
        get(stack, "/?tail", os.urandom(16).hex())
        get(stack, "/fail?tail", trace_id)
    assert received(stack, backend, "?tail") == errors


def test_spans_name_the_pod_that_they_come_from(stack: Stack, backend: Receiver) -> None:
    trace_id = os.urandom(16).hex()
    get(stack, "/fail", trace_id)
    wait_for("the span", lambda: trace_id in {span.trace_id for span in backend.spans}, seconds=30)
    (resource,) = [span.resource for span in backend.spans if span.trace_id == trace_id]
    pods = objects("pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=nginx")
    assert resource["k8s.pod.name"] in {pod["metadata"]["name"] for pod in pods}
    assert resource["k8s.deployment.name"] == "nginx"
    assert resource["k8s.namespace.name"] == NAMESPACE


VOLUME = f"{NAMESPACE}-by-hand"


@pytest.fixture
def volume(tmp_path: Path) -> Generator[str]:
    """Makes a StorageClass with one volume, a folder of this machine."""
    # Tempo's own user; a volume of a cloud takes the pod's group instead.
    os.chown(tmp_path, 10001, 10001)
    made: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": VOLUME},
            "provisioner": "kubernetes.io/no-provisioner",
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": VOLUME},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": VOLUME,
                "hostPath": {"path": str(tmp_path)},
            },
        },
    ]
    try:
        assert kubectl("apply", "--filename=-", text=yaml.safe_dump_all(made)).returncode == 0
        yield VOLUME
    finally:
        kubectl("delete", f"storageclass/{VOLUME}", f"persistentvolume/{VOLUME}", "--wait=false")


def test_traces_on_a_volume_outlive_their_pod(stack: Stack, volume: str) -> None:
    stack.configure({"tempo.persistence.size": "1Gi", "tempo.persistence.storageClass": volume})
    stack.up()
    settle(stack)
    tempo = url(stack, "tempoUrl")
    trace_id = os.urandom(16).hex()
    get(stack, "/fail", trace_id)
    find_spans(tempo, trace_id, "/fail")
    pod = ("pod/tempo-0", f"--namespace={NAMESPACE}")
    before = json.loads(kubectl("get", *pod, "--output=json").stdout)["metadata"]["uid"]
    # Its ingester has stopped by then; the query front end of a Tempo that was asked anything waits for ever.
    assert kubectl("delete", *pod, "--grace-period=5", "--timeout=60s").returncode == 0

    def is_another() -> bool:
        found = kubectl("get", *pod, "--output=json")
        return found.returncode == 0 and json.loads(found.stdout)["metadata"]["uid"] != before

    wait_for("another pod", is_another, seconds=60)
    assert kubectl("wait", *pod, "--for=condition=Ready", "--timeout=60s").returncode == 0
    wait_for("Tempo", lambda: answers(f"{tempo}/ready"), seconds=60)
    assert find_spans(tempo, trace_id, "/fail")

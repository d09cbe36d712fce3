"""Tests the stack on a real cluster: its objects, what an edit touches, and that `destroy` leaves nothing.

The tests of this module share one stack and run in the order that they are written in.
"""

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.documents.collector_names import STABLE_NAMES
from components.plan.objects import STACK_ANNOTATION
from lab.cluster.lifecycle import in_node, kubectl
from tests.lab.conftest import (
    PARENT_ID,
    Span,
    Stack,
    find_spans,
    forwarded,
    hexadecimal,
    objects,
    probe,
    search,
)
from tests.processes import Shared
from tests.waiting import wait_for

NAMESPACE = "tracing-stack"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CLIENT = "nginx-tracing-test/1.0"


def only(spans: list[Span]) -> Span:
    (span,) = spans
    return span


def test_a_request_is_found_by_its_trace_id_with_every_attribute(stack: Stack) -> None:
    outputs = stack.outputs()
    sent = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "User-Agent": CLIENT}
    answer = httpx.post(f"{outputs['nginxUrl']}/index.html?page=1", headers=sent, content=b"hello")
    span = only(find_spans(outputs["tempoUrl"], TRACE_ID))

    host, port = span.attributes.pop("net.sock.peer.addr"), span.attributes.pop("net.sock.peer.port")
    assert host.startswith("10.244.0."), "NGINX sees the node's address on the pods' bridge"
    assert 1024 <= port <= 65535
    assert {span.attributes.pop(f"{name}.address") for name in ("client", "network.peer")} == {host}
    assert span.attributes.pop("network.peer.port") == port
    # NGINX answers a POST to a static file with 405; the span says so too.
    old = {
        "http.method": "POST",
        "http.target": "/index.html?page=1",
        "http.route": "/",
        "http.scheme": "http",
        "http.flavor": "1.1",
        "http.user_agent": CLIENT,
        # A static file's location discards the body, and NGINX its length.
        "http.request_content_length": 0,
        "http.response_content_length": len(answer.content),
        "http.status_code": answer.status_code,
        "net.host.name": httpx.URL(outputs["nginxUrl"]).host,
        "net.host.port": 8080,
    }
    parts = {"url.path": "/index.html", "url.query": "page=1"}
    assert span.attributes == old | parts | {new: old[name] for name, new in STABLE_NAMES.items() if name in old}
    assert answer.is_client_error
    assert span.fields["name"] == "/"
    assert span.fields["kind"] == "SPAN_KIND_SERVER"
    assert span.scope["name"] == "nginx"
    assert span.resource["service.name"] == "nginx"


def test_a_request_with_a_traceparent_keeps_its_trace_and_parent(stack: Stack) -> None:
    outputs = stack.outputs()
    trace_id = "1af7651916cd43dd8448eb211c80319d"
    httpx.get(outputs["nginxUrl"], headers={"traceparent": f"00-{trace_id}-{PARENT_ID}-01"})
    span = only(find_spans(outputs["tempoUrl"], trace_id))
    assert hexadecimal(span.fields["traceId"]) == trace_id
    assert hexadecimal(span.fields["parentSpanId"]) == PARENT_ID


def test_a_span_that_the_collector_had_to_keep_is_found_at_its_own_time(stack: Stack) -> None:
    trace_id, at = os.urandom(16), int(time.time()) - 3600
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=os.urandom(8), name="old")
    )
    span.start_time_unix_nano = span.end_time_unix_nano = at * 10**9
    with (
        forwarded(NAMESPACE, "service/tempo-otlp", 4317) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        # Without its generated class, which has no types.
        channel.unary_unary(export, ExportTraceServiceRequest.SerializeToString)(request, timeout=10)
    tempo = stack.outputs()["tempoUrl"]

    # A search looks into blocks, so this one begins to find it when its block is written.
    def found() -> bool:
        return search(tempo, '{ name = "old" }', start=at - 60, end=at + 60) == [trace_id.hex()]

    wait_for("the trace in a search of its own time", found)


def test_the_probe_finds_every_request_and_the_hops_balance(stack: Stack) -> None:
    code, result = probe(stack, "--requests=50")
    assert code == 0
    assert (result["sent"], result["found_by_id"], result["found_by_search"]) == (50, 50, 50)
    assert [hop["unreadable"] for hop in result["hops"]] == [None] * len(result["hops"])


def test_the_probe_names_the_hop_that_loses_spans(stack: Stack) -> None:
    def pods() -> list[dict[str, Any]]:
        selector = "--selector=app.kubernetes.io/name=otel-collector"
        return objects("pods", f"--namespace={NAMESPACE}", selector)

    scale = ("scale", "deployment/otel-collector", f"--namespace={NAMESPACE}")
    assert kubectl(*scale, "--replicas=0").returncode == 0
    wait_for("the Collector's end", lambda: not pods(), seconds=60)
    code, result = probe(stack, "--requests=5", "--timeout=5")
    assert code == 1
    assert result["found_by_id"] == 0
    assert result["verdict"]["hop"] == "nginx_to_collector"
    assert kubectl(*scale, "--replicas=2").returncode == 0
    ready = ("rollout", "status", "deployment/otel-collector", f"--namespace={NAMESPACE}", "--timeout=60s")
    assert kubectl(*ready).returncode == 0
    # The node's rules for the Collector's Service follow within a second or two of its readiness.
    wait_for("a probe that finds all", lambda: probe(stack, "--requests=5", "--timeout=5")[0] == 0, seconds=60)


def test_prometheus_finds_the_counters_of_every_pod(stack: Stack) -> None:
    found: dict[str, str] = {}
    for pod in objects("pods", f"--namespace={NAMESPACE}"):
        annotations = pod["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        address = f"http://{pod['status']['podIP']}:{annotations['prometheus.io/port']}"
        command = (
            sys.executable,
            "-c",
            f"import httpx; print(httpx.get('{address}{annotations['prometheus.io/path']}').text)",
        )
        read = subprocess.run(in_node(*command), check=True, capture_output=True, text=True)
        component = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        # A counter of a Collector that no span came to is not there yet.
        found[component] = found.get(component, "") + read.stdout
    assert re.search(r'^nginx_connections\{state="active"\} \d+$', found["nginx"], re.MULTILINE)
    assert re.search(r"^otelcol_receiver_accepted_spans\{", found["otel-collector"], re.MULTILINE)
    assert re.search(r"^tempo_distributor_spans_received_total\{", found["tempo"], re.MULTILINE)


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    stack.must("preview", "--expect-no-changes")
    stack.must("up", "--yes", "--skip-preview", "--expect-no-changes")
    stack.must("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_the_urls_name_the_node_and_the_service_s_node_port(stack: Stack) -> None:
    outputs = stack.outputs()
    (node,) = objects("nodes")
    address = next(item["address"] for item in node["status"]["addresses"] if item["type"] == "InternalIP")
    ports = {
        service["metadata"]["name"]: {port["port"]: port.get("nodePort") for port in service["spec"]["ports"]}
        for service in objects("services", f"--namespace={NAMESPACE}")
    }
    assert outputs["nginxNodePort"] == ports["nginx"][80]
    assert outputs["tempoNodePort"] == ports["tempo"][3100]
    assert outputs["nginxUrl"] == f"http://{address}:{outputs['nginxNodePort']}"
    assert outputs["tempoUrl"] == f"http://{address}:{outputs['tempoNodePort']}"
    assert (outputs["namespace"], outputs["edition"]) == (NAMESPACE, "oss")
    assert outputs["nginxImage"] == "localhost:5000/lab/nginx-otel:1.28.3"


def _pods() -> dict[str, set[str]]:
    """Returns the names of the pods of each component."""
    found: dict[str, set[str]] = {}
    for pod in objects("pods", f"--namespace={NAMESPACE}"):
        if "deletionTimestamp" not in pod["metadata"]:
            component = pod["metadata"]["labels"]["app.kubernetes.io/name"]
            found.setdefault(component, set()).add(pod["metadata"]["name"])
    return found


def _an_edit_touches_only(stack: Stack, component: str, config_map: str) -> None:
    """Deploys an edit, which replaces one config object and the pods of one workload, and nothing else."""
    before = _pods()
    planned = stack.planned()
    assert planned == {
        f"kubernetes:core/v1:ConfigMap::{config_map}": "replace",
        f"kubernetes:apps/v1:Deployment::{component}": "update",
    }
    stack.up()
    # `pulumi up` ends once the new pods are Ready. The Deployment's controller deletes the last old one after that.
    wait_for("the old pods' end", lambda: not before[component] & _pods()[component])
    after = _pods()
    assert {name for name in before if before[name] != after[name]} == {component}


def test_a_new_route_rolls_only_nginx_and_a_500_is_an_error_span(stack: Stack) -> None:
    stack.configure(
        {
            "nginx.routes[0].path": "/",
            "nginx.routes[0].root": "/usr/share/nginx/html",
            "nginx.routes[1].path": "/fail",
            "nginx.routes[1].return.status": "500",
        }
    )
    _an_edit_touches_only(stack, "nginx", "nginx-config")

    outputs = stack.outputs()
    trace_id = "2af7651916cd43dd8448eb211c80319e"

    def fail() -> bool:
        # The pod of before the edit may still be serving for a moment.
        parent = {"traceparent": f"00-{trace_id}-{PARENT_ID}-01"}
        try:
            return httpx.get(f"{outputs['nginxUrl']}/fail", headers=parent).is_server_error
        except httpx.TransportError:
            return False

    wait_for("the new location", fail, seconds=30)
    errors = find_spans(outputs["tempoUrl"], trace_id, "/fail")
    assert [span.fields["status"] for span in errors] == [{"code": "STATUS_CODE_ERROR"}]
    assert errors[0].attributes["http.status_code"] == 500


def test_an_edit_of_the_collector_s_configuration_rolls_only_the_collector(stack: Stack) -> None:
    stack.configure({"collector.batch.timeout": "300ms"})
    _an_edit_touches_only(stack, "otel-collector", "otel-collector-config")


def test_an_edit_of_tempo_s_configuration_rolls_only_tempo(stack: Stack) -> None:
    stack.configure({"tempo.retention": "24h"})
    _an_edit_touches_only(stack, "tempo", "tempo-config")


def test_a_pod_that_violates_the_restricted_standard_is_refused(stack: Stack) -> None:
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "intruder", "namespace": NAMESPACE},
        "spec": {"containers": [{"name": "intruder", "image": "none", "securityContext": {"privileged": True}}]},
    }
    refused = kubectl("apply", "--filename=-", text=json.dumps(pod))
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted:v1.32"' in refused.stderr


def test_a_node_port_that_is_taken_is_named_with_its_service(stack: Stack) -> None:
    taken = stack.outputs()["tempoNodePort"]
    stack.configure({"nginx.nodePort": str(taken)})
    failed = stack.pulumi("up", "--yes", "--skip-preview")
    assert failed.returncode != 0
    assert f"nginx-tracing:nginx.nodePort = {taken}\n" in failed.stdout
    assert f"is held by the Service tempo in the namespace {NAMESPACE}, of this stack" in failed.stdout
    assert "Traceback" not in failed.stdout
    stack.must("config", "rm", "--path", "nginx.nodePort")
    stack.up()


def nginx_pods() -> set[str]:
    """Returns the names of NGINX's pods, including those that are ending."""
    selector = "--selector=app.kubernetes.io/name=nginx"
    return {pod["metadata"]["name"] for pod in objects("pods", f"--namespace={NAMESPACE}", selector)}


def test_an_autoscaler_takes_the_replicas_over_and_gives_them_back_without_ending_a_pod(stack: Stack) -> None:
    def replicas() -> int:
        (nginx,) = objects("deployments", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=nginx")
        return nginx["spec"]["replicas"]

    stack.configure({"nginx.replicas": "3"})
    stack.up()
    three = nginx_pods()
    stack.configure({"nginx.autoscaling.maxReplicas": "5"})
    stack.up()
    assert (replicas(), nginx_pods()) == (3, three)
    # It raises what is below its minimum without any metrics, which the lab does not have.
    stack.configure({"nginx.replicas": "4"})
    stack.up()
    wait_for("the autoscaler's fourth pod", lambda: replicas() == 4, seconds=60)
    # The field is the autoscaler's now: an edit of anything else leaves it alone.
    stack.configure({"nginx.replicas": "3", "labels.team": "platform"})
    stack.up()
    assert replicas() == 4
    stack.must("config", "rm", "--path", "nginx.autoscaling")
    assert "conflict" in stack.pulumi("up", "--yes", "--skip-preview").stdout
    # As docs/how-to/deploy-to-a-cluster.md says.
    stack.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
    stack.up()
    del stack.environment["PULUMI_K8S_ENABLE_PATCH_FORCE"]
    assert replicas() == 3
    stack.must("preview", "--expect-no-changes")


def test_destroy_leaves_no_object_of_the_stack(stack: Stack, shared: Shared) -> None:
    stack.must("destroy", "--yes", "--skip-preview")
    # Of all kinds, which must not change meanwhile. Other stacks are beside this one: theirs are left out.
    with shared.locked("kinds"):
        kinds = kubectl("api-resources", "--verbs=list", "--output=name").stdout.split()
        labelled = objects(",".join(kinds), "--all-namespaces", "--selector=app.kubernetes.io/part-of=nginx-tracing")
    mark = f"nginx-tracing/{stack.name}"
    left = [
        f"{item['kind']} {item['metadata']['name']}"
        for item in labelled
        if item["metadata"].get("namespace") == NAMESPACE
        or item["metadata"].get("annotations", {}).get(STACK_ANNOTATION) == mark
    ]
    assert (kinds != [], left) == (True, [])
    assert kubectl("get", "namespace", NAMESPACE).stderr.strip().endswith("not found")
    assert json.loads(stack.must("stack", "export"))["deployment"].get("resources", []) == []
    assert not re.search(r"\d+ deleted", stack.must("destroy", "--yes", "--skip-preview"))

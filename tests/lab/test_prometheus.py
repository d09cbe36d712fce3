"""Tests on the lab the stack's own Prometheus: it finds every pod, gets Tempo's metrics, and evaluates the alerts."""

import json
import secrets
from collections.abc import Generator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from lab.build import images
from lab.build.targets import PROMETHEUS
from lab.cluster import lifecycle
from lab.cluster.lifecycle import kubectl
from lab.paths import REPOSITORY
from lab.progress import Progress
from tests.lab.conftest import LITTLE_CPU, connects, deploy, laid_out, objects, provide
from tests.waiting import wait_for
from tools.lab_stack import Stack

# tests/readers has its rules, its queries and what it reads; goldens hold its role and its policy.
pytestmark = pytest.mark.deep

NAMESPACE = "tracing-prometheus"
COUNT = 40
"""Requests."""


@pytest.fixture(scope="module")
def stack(lab: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys a stack with a Prometheus that keeps its metrics on a volume."""
    provide(request, targets=[PROMETHEUS])
    image = images.prometheus_image()
    images.push([image], Progress())
    lifecycle.pull([image], Progress())
    with laid_out(tmp_path_factory.mktemp("prometheus") / "program", "prometheus", NAMESPACE) as made:
        file = made.folder / f"Pulumi.{made.name}.yaml"
        document = yaml.safe_load(file.read_text())
        document["config"]["nginx-tracing:prometheus"] = {
            "enabled": True,
            "image": image.reference,
            "scrapeInterval": "2s",
            "persistence": {"size": "1Gi"},
            "resources": {"cpu": LITTLE_CPU},
        }
        file.write_text(yaml.safe_dump(document))
        deploy(made)
        yield made


def ask(path: str, **parameters: str) -> Any:
    """Returns what Prometheus answers, by way of the API server, which reaches it as the kubelet does."""
    proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/prometheus-0:9090/proxy/api/v1/{path}"
    answered = kubectl("get", "--raw", f"{proxy}?{urlencode(parameters)}")
    assert answered.returncode == 0, answered.stderr
    return json.loads(answered.stdout)["data"]


def values(query: str, label: str = "") -> dict[str, float]:
    """Returns the values of a query, by a label."""
    return {one["metric"].get(label, ""): float(one["value"][1]) for one in ask("query", query=query)["result"]}


def test_it_reads_every_pod_of_the_stack(stack: Stack) -> None:
    def read() -> dict[str, float]:
        return values('up{app_kubernetes_io_part_of="nginx-tracing"}', "pod")

    pods = {pod["metadata"]["name"] for pod in objects("pods", f"--namespace={NAMESPACE}")}
    assert {name.rsplit("-", 1)[0].split("-")[0] for name in pods} == {"nginx", "otel", "tempo", "prometheus"}
    wait_for(f"all pods; there are {read()}", lambda: read() == dict.fromkeys(pods, 1.0), 60)


def by_traceql(tempo_url: str) -> float:
    """Returns the requests that Tempo itself counts."""
    query = '{ resource.service.name = "nginx" && kind = server } | count_over_time()'
    answer = httpx.get(f"{tempo_url}/api/metrics/query_range", params={"q": query, "since": "1h", "step": "1m"})
    return sum(sample.get("value", 0) for one in answer.json()["series"] for sample in one["samples"])


# tests/readers has the same numbers and the same alerts on loopback. Both wait for intervals of Prometheus and Tempo.
def test_both_ways_count_every_request(stack: Stack) -> None:
    outputs = stack.outputs()
    tempo_url = outputs["tempoUrl"]
    for _ in range(COUNT):
        headers = {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
        assert httpx.get(outputs["nginxUrl"], headers=headers).status_code == 200
    calls = 'sum(traces_spanmetrics_calls_total{service="nginx", span_kind="SPAN_KIND_SERVER"})'
    # Tempo writes each 15 s. Besides these there are the requests that waited for NGINX.
    wait_for("the requests", lambda: COUNT < values(calls).get("", 0) == by_traceql(tempo_url), 60)


def test_no_alert_fires_and_every_one_is_evaluated(stack: Stack) -> None:
    groups = yaml.safe_load((REPOSITORY / "monitoring" / "alerts.yaml").read_text())["groups"]
    names = [rule["alert"] for group in groups for rule in group["rules"]]

    def healthy() -> list[str]:
        return [rule["name"] for group in ask("rules")["groups"] for rule in group["rules"] if rule["health"] == "ok"]

    wait_for("the alerts", lambda: healthy() == names, 30)
    assert values('ALERTS{alertstate="firing"}', "alertname") == {}


def test_its_policy_lets_tempo_in_and_others_not(stack: Stack) -> None:
    services = objects("services", f"--namespace={NAMESPACE}")
    (spec,) = [item["spec"] for item in services if item["metadata"]["name"] == "prometheus"]
    assert spec["type"] == "ClusterIP"
    pods = objects("pods", f"--namespace={NAMESPACE}")
    addresses = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod["status"]["podIP"] for pod in pods}
    assert connects(addresses["tempo"], spec["clusterIP"], 9090)
    assert not connects(addresses["nginx"], spec["clusterIP"], 9090)

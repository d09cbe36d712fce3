"""Tests other backends and browsers on the lab: the messages of `pulumi up` and of the probe, and the way of spans."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from components.documents.collector import OTLP_HTTP_PORT
from lab.paths import REPOSITORY
from tests.lab.conftest import laid_out
from tests.waiting import wait_for
from tools.lab_stack import Stack

NAMESPACE = "tracing-exporters"


@pytest.fixture(scope="module")
def deployed(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Stack, str]]:
    """Deploys a stack with a proxy that does not exist, an exporter that speaks TLS to NGINX, and a route for browsers.

    Yields it with what `pulumi up` printed.
    """
    with laid_out(tmp_path_factory.mktemp("exporters") / "program", "exporters", NAMESPACE) as made:
        configure(made)
        yield made, made.up()


def configure(stack: Stack) -> None:
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"]["nginx-tracing:nginx"]["routes"] = [
        {"path": "/", "return": {"status": 200, "body": "ok"}},
        {"path": "/v1/traces", "upstream": {"service": "otel-collector", "port": OTLP_HTTP_PORT}, "traced": False},
    ]
    document["config"]["nginx-tracing:collector"] |= {
        "distribution": "contrib",
        "kubernetesAttributes": True,
        "receivers": {"http": True, "cors": {"allowedOrigins": ["https://shop.example"]}},
        "proxy": {"url": "http://192.0.2.9:3128"},
        # Plain text, as many receivers inside a cluster speak: NGINX's own port is one that is there.
        "exporters": {"again": {"endpoint": f"nginx.{NAMESPACE}.svc:80", "tls": {"enabled": True}}},
    }
    file.write_text(yaml.safe_dump(document))


def test_up_ends_with_the_probe(deployed: tuple[Stack, str]) -> None:
    _, said = deployed
    assert "this checks that spans arrive: .venv/bin/python -m tools probe" in said


def test_spans_for_the_stack_s_tempo_go_past_a_proxy_that_is_not_there_and_the_failing_exporter_is_told(
    deployed: tuple[Stack, str], tmp_path: Path
) -> None:
    stack, _ = deployed
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(stack.outputs()))
    command = [sys.executable, "-m", "tools", "probe", "--outputs", str(outputs), "--requests", "5", "--json"]

    def probed() -> dict[str, Any]:
        ran = subprocess.run(
            command, check=False, cwd=REPOSITORY, env=stack.environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    # Also after the first exports, whose batches may have been under way.
    probed()
    result = probed()
    # By the address of the API server, past the proxy as well.
    assert result["trace"][0]["resource"]["k8s.deployment.name"] == "nginx"
    (finding,) = result["other_exporters"]
    assert finding["hop"] == "collector_to_exporter"
    assert "“tls: first record does not look like a TLS handshake”" in finding["why"]
    assert "pulumi config set --path collector.exporters.again.tls.enabled false" in finding["why"]


def test_a_browser_s_span_comes_in_through_nginx(deployed: tuple[Stack, str]) -> None:
    stack, _ = deployed
    outputs = stack.outputs()
    trace_id = secrets.token_hex(16)
    span = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": "click",
        "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns()),
    }
    sent = httpx.post(
        f"{outputs['nginxUrl']}/v1/traces",
        json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        headers={"origin": "https://shop.example"},
        trust_env=False,
    )
    assert sent.status_code == 200, sent.text
    assert sent.headers["access-control-allow-origin"] == "https://shop.example"
    found = f"{outputs['tempoUrl']}/api/traces/{trace_id}"
    wait_for("the browser's span", lambda: httpx.get(found, trust_env=False).status_code == 200, seconds=30)

"""Deploys the baseline on the lab, for measurements that compare this program with it."""

import contextlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import yaml

from lab.cluster.lifecycle import kubectl
from lab.cluster.network import NODE_ADDRESS
from lab.errors import LabError
from lab.stack import stack_configuration
from lab.waiting import wait_until
from tools.measure.faults.inject import LIMIT_SECONDS, must
from tools.measure.traces import missing
from tools.measure.traffic import send_for

NAMESPACE = "tracing-baseline"
MANIFESTS = ("tempo.yaml", "otel-collector.yaml", "nginx.yaml")


def manifests() -> list[dict[str, Any]]:
    """Reads the baseline's objects as they are written."""
    texts = ((Path(__file__).parent / name).read_text() for name in MANIFESTS)
    return [document for text in texts for document in yaml.safe_load_all(text)]


def on_the_lab() -> list[dict[str, Any]]:
    """Returns the objects with the lab's images. NGINX runs as root, as the official image does, because of port 80."""
    configured = yaml.safe_load(stack_configuration())["config"]
    of_lab = {
        "nginx": configured["nginx-tracing:nginx"]["image"],
        "otel-collector": configured["nginx-tracing:collector"]["image"],
        "tempo": configured["nginx-tracing:tempo"]["image"],
    }
    objects = manifests()
    for workload in objects:
        if workload["kind"] == "Deployment":
            (container,) = cast("list[dict[str, Any]]", workload["spec"]["template"]["spec"]["containers"])
            container["image"] = of_lab[container["name"]]
            if container["name"] == "nginx":
                container["securityContext"] = {"runAsUser": 0}
    return objects


@contextlib.contextmanager
def deployed() -> Generator[dict[str, str]]:
    """Deploys the baseline, yields its `nginxUrl` and `tempoUrl`, and removes it at the end.

    Raises:
        LabError: it could not be deployed, or still lost spans after the time limit.
    """
    try:
        must("create", "namespace", NAMESPACE)
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": on_the_lab()})
        applied = kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", text=listed)
        if applied.returncode != 0:
            raise LabError(f"The baseline could not be deployed:\n{applied.stderr}")
        wait = ("--for=condition=Available", "deployment", "--all", f"--timeout={LIMIT_SECONDS}s")
        must("wait", f"--namespace={NAMESPACE}", *wait)
        urls = {"nginxUrl": _url("nginx-opentelemetry-svc"), "tempoUrl": _url("tempo-svc")}
        # It has no probes, so it counts as available before anything listens. Losses until then are not its rate's.
        wait_until(lambda: _keeps(urls), "The baseline lost spans of its first requests.", seconds=LIMIT_SECONDS)
        yield urls
    finally:
        kubectl("delete", "namespace", NAMESPACE)


def _keeps(urls: dict[str, str]) -> bool:
    """Tells whether Tempo gets all spans of a few requests."""
    sent = send_for(2, urls["nginxUrl"], 20)
    try:
        return not sent.failed and not missing(urls["tempoUrl"], sent, patience_seconds=30)
    except LabError:
        # The baseline's Tempo does not answer yet.
        return False


def _url(service: str) -> str:
    port = must("get", "service", service, f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.ports[0].nodePort}")
    return f"http://{NODE_ADDRESS}:{port}"

"""The stack of `tools/measure/bench/baseline` on the lab, for what is measured beside it."""

import contextlib
import json
from collections.abc import Generator
from typing import Any, cast

import yaml

from lab.cluster.lifecycle import kubectl
from lab.cluster.network import NODE_ADDRESS
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.waiting import wait_until
from tools.measure.reliability.faults import LIMIT_SECONDS, must
from tools.measure.reliability.traces import missing
from tools.measure.reliability.traffic import send_for

NAMESPACE = "tracing-baseline"
MANIFESTS = ("tempo.yaml", "otel-collector.yaml", "nginx.yaml")


def manifests() -> list[dict[str, Any]]:
    """Its objects, as they are written."""
    texts = ((REPOSITORY / "tools" / "measure" / "bench" / "baseline" / name).read_text() for name in MANIFESTS)
    return [document for text in texts for document in yaml.safe_load_all(text)]


def on_the_lab() -> list[dict[str, Any]]:
    """Its objects with the lab's images. Those run as NGINX's user; the official one starts as root, for port 80."""
    configured = yaml.safe_load((REPOSITORY / "lab" / "Pulumi.lab.yaml").read_text())["config"]
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
    """Deploys it; gives its `nginxUrl` and `tempoUrl`, and removes it at the end."""
    try:
        must("create", "namespace", NAMESPACE)
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": on_the_lab()})
        applied = kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", text=listed)
        if applied.returncode != 0:
            raise LabError(f"The baseline could not be deployed:\n{applied.stderr}")
        wait = ("--for=condition=Available", "deployment", "--all", f"--timeout={LIMIT_SECONDS}s")
        must("wait", f"--namespace={NAMESPACE}", *wait)
        urls = {"nginxUrl": _url("nginx-opentelemetry-svc"), "tempoUrl": _url("tempo-svc")}
        # Without probes it counts as available before anything listens. What it loses until then is not its rate's.
        wait_until(lambda: _keeps(urls), "The baseline lost spans of its first requests.", seconds=LIMIT_SECONDS)
        yield urls
    finally:
        kubectl("delete", "namespace", NAMESPACE)


def _keeps(urls: dict[str, str]) -> bool:
    """Whether spans arrive, all of a few."""
    sent = send_for(2, urls["nginxUrl"], 20)
    try:
        return not sent.failed and not missing(urls["tempoUrl"], sent, patience_seconds=30)
    except LabError:
        # Its Tempo does not answer yet.
        return False


def _url(service: str) -> str:
    port = must("get", "service", service, f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.ports[0].nodePort}")
    return f"http://{NODE_ADDRESS}:{port}"

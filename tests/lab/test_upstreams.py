"""Tests upstreams by name on the cluster: pods that are replaced, and backends that are no pods."""

import http.server
import json
import threading
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from lab.build.images import oss_stack_images
from lab.cluster.lifecycle import kubectl
from lab.cluster.network import HOST_ADDRESS
from tests.lab.conftest import answers, laid_out, remove_namespaces
from tests.otlp import free_port
from tests.waiting import wait_for
from tools.lab_stack import Stack

NAMESPACE = "tracing-upstreams"
SHOP = "tracing-upstreams-shop"
"""The namespace of the applications."""

WEB_CONF = """
worker_processes 1; error_log /dev/stderr notice; pid /tmp/pid; events {}
http {
    client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d;
    scgi_temp_path /tmp/e; access_log off;
    server { listen 8080; location / { return 200 $hostname; } }
}
"""


class OutsideHandler(http.server.BaseHTTPRequestHandler):
    """Answers for a machine that is no pod."""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"outside")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Says nothing."""


@pytest.fixture(scope="module")
def outside() -> Generator[int]:
    """Runs a server outside the cluster, and yields its port."""
    server = http.server.ThreadingHTTPServer((HOST_ADDRESS, free_port()), OutsideHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SHOP}, "spec": spec}


def applications(outside: int) -> list[dict[str, Any]]:
    (image,) = [image.reference for image in oss_stack_images() if "nginx" in image.name]
    container = {
        "name": "web",
        "image": image,
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        # The pod serves on until no node routes connections to it.
        "lifecycle": {"preStop": {"sleep": {"seconds": 10}}},
        "volumeMounts": [{"name": "conf", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "conf", "configMap": {"name": "web"}}]}
    labels = {"app": "web"}
    metadata = {"name": "web", "namespace": SHOP}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"nginx.conf": WEB_CONF}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        service("web", clusterIP="None", selector=labels, ports=[{"port": 8080}]),
        service("vm", ports=[{"port": 80, "targetPort": outside}]),
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "vm", "namespace": SHOP},
            "subsets": [{"addresses": [{"ip": HOST_ADDRESS}], "ports": [{"port": outside}]}],
        },
        service("vm-headless", clusterIP="None", ports=[{"port": outside, "name": "http"}]),
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "vm-headless-1",
                "namespace": SHOP,
                "labels": {"kubernetes.io/service-name": "vm-headless"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST_ADDRESS]}],
            "ports": [{"name": "http", "port": outside}],
        },
        service("alias", type="ExternalName", externalName=f"vm-headless.{SHOP}.svc.cluster.local"),
    ]


@pytest.fixture(scope="module")
def deployed(lab: None, outside: int, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys NGINX with a route to each of the applications."""
    made = {"apiVersion": "v1", "kind": "List", "items": applications(outside)}
    routes = {
        "/web/": {"service": "web", "namespace": SHOP, "port": 8080},
        "/vm/": {"service": "vm", "namespace": SHOP, "port": 80},
        "/vm-headless/": {"service": "vm-headless", "namespace": SHOP, "port": outside},
        "/alias/": {"service": "alias", "namespace": SHOP, "port": outside},
        "/later/": {"service": "later", "namespace": SHOP, "port": 8080},
    }
    values = {
        f"nginx.routes[{number}].{key}": value
        for number, (path, upstream) in enumerate(routes.items())
        for key, value in {
            "path": path,
            **{f"upstream.{name}": str(value) for name, value in upstream.items()},
        }.items()
    }
    remove_namespaces(SHOP, wait=True)
    try:
        applied = kubectl("apply", "--filename=-", text=json.dumps(made))
        assert applied.returncode == 0, applied.stderr
        ready = ("rollout", "status", "deployment/web", f"--namespace={SHOP}", "--timeout=60s")
        assert kubectl(*ready).returncode == 0
        with laid_out(tmp_path_factory.mktemp("stack") / "program", "upstreams", NAMESPACE) as stack:
            stack.configure(values)
            stack.up()
            yield stack
    finally:
        remove_namespaces(SHOP)


@pytest.fixture(scope="module")
def url(deployed: Stack) -> str:
    """Returns the URL of NGINX once it answers."""
    url = deployed.outputs()["nginxUrl"]
    wait_for("the application", lambda: answers(f"{url}/web/"), seconds=30)
    return url


def test_a_rollout_of_the_application_behind_a_headless_service_is_followed(url: str) -> None:
    def asked(count: int) -> tuple[set[int], set[str]]:
        with httpx.Client() as client:
            all_of_them = [client.get(f"{url}/web/", timeout=10) for _ in range(count)]
        return {answer.status_code for answer in all_of_them}, {answer.text for answer in all_of_them}

    statuses, before = asked(50)
    assert (statuses, len(before)) == ({200}, 2)
    assert kubectl("rollout", "restart", "deployment/web", f"--namespace={SHOP}").returncode == 0
    waiting = ("rollout", "status", "deployment/web", f"--namespace={SHOP}", "--timeout=90s")
    assert kubectl(*waiting).returncode == 0
    gone = ("wait", "--for=delete", "pod", f"--namespace={SHOP}", "--timeout=60s")
    # Nothing fails while old pods end, nor once they are gone.
    statuses, _ = asked(50)
    assert statuses == {200}
    assert kubectl(*gone, *(f"--field-selector=metadata.name={name}" for name in list(before)[:1])).returncode == 0
    assert kubectl(*gone, *(f"--field-selector=metadata.name={name}" for name in list(before)[1:])).returncode == 0
    statuses, after = asked(200)
    assert (statuses, len(after)) == ({200}, 2)
    assert not after & before


@pytest.mark.parametrize("path", ["/vm/", "/vm-headless/", "/alias/"])
def test_policies_let_nginx_reach_the_backends_of_a_service_that_are_no_pods(url: str, path: str) -> None:
    wait_for(f"what is behind {path}", lambda: answers(f"{url}{path}"), seconds=30)
    assert httpx.get(f"{url}{path}").text == "outside"


def test_a_service_that_is_made_later_is_reached_without_another_update(url: str) -> None:
    assert httpx.get(f"{url}/later/").status_code == 502
    later = service("later", clusterIP="None", selector={"app": "web"}, ports=[{"port": 8080}])
    assert kubectl("apply", "--filename=-", text=json.dumps(later)).returncode == 0
    wait_for("the Service", lambda: answers(f"{url}/later/"), seconds=30)


def test_what_the_cluster_says_of_services_is_in_the_policies_once(deployed: Stack) -> None:
    deployed.must("preview", "--expect-no-changes")

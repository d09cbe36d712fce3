"""Tests Tempo's edge on a real cluster: open routes and ports, who may connect, and a Tempo that was shut down.

The tests of this module share one stack and run in the order that they are written in.
"""

import http.client
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from lab.cluster.lifecycle import in_pod, kubectl
from lab.cluster.network import HOST_ADDRESS
from lab.paths import REPOSITORY
from tests.lab import neighbours
from tests.lab.conftest import Stack, connects, find_spans, objects, probe
from tests.lab.neighbours import outsider as outsider  # noqa: PLC0414 - a fixture
from tests.lab.neighbours import outsiders_namespace
from tests.module.test_tempo_gateway import CLOSED
from tests.waiting import wait_for
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

NAMESPACE = "tracing-edge"
PASSWORD = f"canary-{secrets.token_hex(8)}"


def address(component: str) -> str:
    return neighbours.address(component, NAMESPACE)


def status(url: str, **options: Any) -> int:
    """Returns the status of an answer; 0 where there is none.

    The node's firewall refuses some connections of a new pod for a few hundred milliseconds after a rollout.
    """
    with httpx.Client(transport=httpx.HTTPTransport(retries=3), timeout=5) as client:
        try:
            return client.get(url, **options).status_code
        except httpx.TransportError:
            return 0


def in_tempo(path: str, port: int = 3200) -> int:
    """Returns the status of Tempo's own answer, from inside its pod, where its HTTP port is."""
    script = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}{path}', timeout=5).status)"
    done = subprocess.run(
        in_pod(address("tempo"), sys.executable, "-c", script), check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def restarts(container: str) -> int:
    """Returns how often a container of Tempo's pod was restarted."""
    (pod,) = objects("pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=tempo")
    return next(each["restartCount"] for each in pod["status"]["containerStatuses"] if each["name"] == container)


def test_from_outside_shutdown_is_404_and_tempo_goes_on(stack: Stack) -> None:
    tempo = stack.outputs()["tempoUrl"]
    for target in CLOSED:
        # Sent as it is written: other clients clean a path first.
        connection = http.client.HTTPConnection(httpx.URL(tempo).host, httpx.URL(tempo).port, timeout=5)
        connection.request("GET", target)
        assert connection.getresponse().status == 404, target
        connection.close()
    assert httpx.post(f"{tempo}/shutdown").status_code == 404
    assert httpx.post(f"{tempo}/flush").status_code == 404
    assert (status(f"{tempo}/ready"), status(f"{tempo}/api/echo")) == (200, 200)
    code, result = probe(stack, "--requests=20")
    assert (code, result["found_by_id"], result["found_by_search"]) == (0, 20, 20)
    assert [hop["unreadable"] for hop in result["hops"]] == [None] * 3


def test_inside_the_cluster_it_is_closed_as_well(stack: Stack, outsider: str) -> None:
    tempo = address("tempo")
    wait_for("the outsider at Tempo's API", lambda: connects(outsider, tempo, 3100), seconds=30)
    assert connects(outsider, tempo, 3101), "counters, for Prometheus"
    for port in (3200, 9095, 7946, 4317):
        assert not connects(outsider, tempo, port), port


def test_no_port_of_the_nodes_leads_anywhere_but_to_nginx_and_the_gateway(stack: Stack) -> None:
    opened = {
        (service["metadata"]["name"], port["port"])
        for service in objects("services", f"--namespace={NAMESPACE}")
        for port in service["spec"]["ports"]
        if "nodePort" in port
    }
    assert opened == {("nginx", 80), ("tempo", 3100)}


def test_a_tempo_that_takes_nothing_any_more_is_restarted_and_what_was_sent_meanwhile_is_found(stack: Stack) -> None:
    outputs, before = stack.outputs(), restarts("tempo")
    begin = time.monotonic()
    with Traffic(outputs["nginxUrl"], 20) as traffic:
        time.sleep(2)
        assert in_tempo("/shutdown") == 200
        wait_for("a restart of Tempo", lambda: restarts("tempo") > before, seconds=150)
        wait_for("a Tempo that is Ready", lambda: status(f"{outputs['tempoUrl']}/ready") == 200, seconds=60)
        took = time.monotonic() - begin
    assert not traffic.sent.failed
    assert missing(outputs["tempoUrl"], traffic.sent, patience_seconds=60) == []
    assert restarts("gateway") == 0
    assert took < 150


def test_a_password_is_asked_for_and_the_probe_knows_it(stack: Stack) -> None:
    done = subprocess.run(
        ["pulumi", "config", "set", "--secret", "tempoPassword", f"--stack={stack.name}"],
        cwd=stack.folder, env=stack.environment, input=PASSWORD, check=True, capture_output=True, text=True,
    )  # fmt: skip
    shown = done.stdout + done.stderr + stack.must("preview", "--diff") + stack.up()
    outputs = stack.outputs()
    tempo, login = outputs["tempoUrl"], ("tempo", PASSWORD)
    wait_for("the new gateway", lambda: status(f"{tempo}/api/echo") == 401, seconds=30)
    wait_for("the password's user", lambda: status(f"{tempo}/api/echo", auth=login) == 200, seconds=30)
    assert status(f"{tempo}/api/search", auth=("tempo", "wrong-password")) == 401
    assert status(f"{tempo}/shutdown", auth=login) == status(f"{tempo}/shutdown") == 404
    assert status(f"{tempo}/ready") == 200
    trace_id = secrets.token_hex(16)
    httpx.get(outputs["nginxUrl"], headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    assert find_spans(str(httpx.URL(tempo).copy_with(username="tempo", password=PASSWORD)), trace_id)
    # As a person runs it, in the stack's folder: the probe asks Pulumi.
    command = [sys.executable, "-m", "tools", "probe", "--outputs=-", "--json", "--requests=5"]
    environment = stack.environment | {"TEMPO_PASSWORD": PASSWORD}
    probed = subprocess.run(
        command, env=environment, input=json.dumps(outputs), capture_output=True, text=True, check=False
    )
    assert probed.returncode == 0, probed.stderr
    state = stack.must("stack", "export")
    logs = kubectl("logs", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=tempo", "--all-containers")
    maps = kubectl("get", "configmaps,deployments,pods", f"--namespace={NAMESPACE}", "--output=json")
    for text in (shown, json.dumps(outputs), probed.stdout, probed.stderr, state, logs.stdout, maps.stdout):
        assert PASSWORD not in text
    assert stack.planned() == {}, "the same password has the same hash"


def test_without_the_password_again_everybody_reads(stack: Stack) -> None:
    stack.must("config", "rm", "tempoPassword")
    stack.up()
    wait_for("the new gateway", lambda: status(f"{stack.outputs()['tempoUrl']}/api/echo") == 200, seconds=30)


def test_only_allowed_addresses_and_namespaces_get_through(stack: Stack, outsider: str) -> None:
    stack.configure({
        "nginx.service.allowedAddresses[0]": f"{HOST_ADDRESS}/32",
        "tempo.service.allowedAddresses[0]": "203.0.113.0/24",
    })  # fmt: skip
    stack.up()
    outputs, nginx, tempo = stack.outputs(), address("nginx"), address("tempo")
    wait_for("the end of this machine's access", lambda: status(f"{outputs['tempoUrl']}/ready") == 0, seconds=30)
    wait_for("NGINX for this machine", lambda: status(outputs["nginxUrl"]) == 200, seconds=30)
    assert not connects(outsider, nginx, 8080)
    assert not connects(outsider, tempo, 3100)
    stack.configure({
        "tempo.service.allowedAddresses[1]": f"{HOST_ADDRESS}/32",
        "tempo.service.allowedNamespaces[0]": outsiders_namespace(NAMESPACE),
    })  # fmt: skip
    stack.up()
    wait_for("this machine at Tempo", lambda: status(f"{outputs['tempoUrl']}/ready") == 200, seconds=30)
    wait_for("the allowed namespace", lambda: connects(outsider, tempo, 3100), seconds=30)
    assert not connects(outsider, nginx, 8080)
    assert probe(stack, "--requests=10")[0] == 0


def test_inside_the_cluster_alone_there_is_no_way_in(stack: Stack, outsider: str) -> None:
    before = stack.outputs()
    for component in ("nginx", "tempo"):
        stack.must("config", "rm", "--path", f"{component}.service")
        stack.configure({f"{component}.service.type": "ClusterIP"})
    assert stack.planned().get("kubernetes:core/v1:Service::tempo") == "update", "in place"
    stack.up()
    outputs = stack.outputs()
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == (
        f"http://nginx.{NAMESPACE}.svc",
        f"http://tempo.{NAMESPACE}.svc:3100",
    )
    assert not {"nginxNodePort", "tempoNodePort"} & outputs.keys()
    for url in (before["nginxUrl"], f"{before['tempoUrl']}/ready"):
        wait_for(f"the end of {url}", lambda url=url: status(url) == 0, seconds=30)
    wait_for("a pod at Tempo", lambda: connects(outsider, address("tempo"), 3100), seconds=30)


def test_a_view_forwards_a_port_to_it_until_it_ends(stack: Stack, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps(stack.outputs()))
    command = [sys.executable, "-m", "tools", "view", f"--outputs={outputs}", "--port=0"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=stack.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            said = [process.stdout.readline() for _ in range(2)]
            assert "kubectl forwards a port" in said[0]
            page = re.search(r"http://127\.0\.0\.1:\d+/zipkin/", said[1])
            assert page, said
            # The probe's requests of the tests before.
            services = f"{page[0]}api/v2/services"
            assert httpx.get(services, timeout=30).json() == ["nginx"]
        finally:
            process.terminate()
            process.wait(30)
    assert process.returncode == 0
    assert status(services) == 0


def test_a_load_balancer_is_waited_for_and_its_address_is_in_the_urls(stack: Stack) -> None:
    for component in ("nginx", "tempo"):
        stack.configure({f"{component}.service.type": "LoadBalancer"})
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}}}
    given = threading.Event()

    def give() -> None:
        # What a cloud's controller does, once the Service is of this type.
        def patched(component: str) -> bool:
            service = kubectl("get", "service", component, f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.type}")
            patch = ("patch", "service", component, f"--namespace={NAMESPACE}", "--subresource=status")
            return (
                service.stdout == "LoadBalancer"
                and kubectl(*patch, "--type=merge", f"--patch={json.dumps(balancer)}").returncode == 0
            )

        for component in ("nginx", "tempo"):
            wait_for(f"{component}'s Service", lambda component=component: patched(component), seconds=60)
        given.set()

    controller = threading.Thread(target=give, daemon=True)
    controller.start()
    stack.up()
    controller.join()
    assert given.is_set()
    outputs = stack.outputs()
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == ("http://203.0.113.5", "http://203.0.113.5:3100")
    services = {service["metadata"]["name"]: service for service in objects("services", f"--namespace={NAMESPACE}")}
    ports = [services[name]["spec"]["ports"][0]["nodePort"] for name in ("nginx", "tempo")]
    assert [outputs["nginxNodePort"], outputs["tempoNodePort"]] == ports
    assert stack.planned() == {}

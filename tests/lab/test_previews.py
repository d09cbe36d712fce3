"""Tests previews and drift of a real stack: the fixtures are what the engine writes, and the messages.

The tests of this module share one stack and run in the order that they are written in.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from lab.cluster.lifecycle import kubectl
from lab.paths import KUBECONFIG, REPOSITORY
from tests.lab.conftest import laid_out, remove_namespaces
from tests.unit.pull_request.trim import FIXTURES, shape, trimmed
from tests.waiting import wait_for
from tools.lab_stack import Stack
from tools.pull_request.comment import comment
from tools.pull_request.preview_result import read

NAMESPACE = "tracing-fixtures"
"""The namespace in the fixtures."""

FREE_NODE_PORT = 30_039
"""Kubernetes gives the first 86 ports of its range only on request, as long as others are free."""


@pytest.fixture(scope="module")
def previewed(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Yields a stack that is not deployed yet."""
    with laid_out(tmp_path_factory.mktemp("previewed") / "program", "fixtures", NAMESPACE, cpu=None) as made:
        yield made


def check(stack: Stack, case: str, request: pytest.FixtureRequest, changed: dict[str, str], routes: int = 0) -> None:
    """Previews a change of the configuration, undoes it, and compares steps and messages with the fixture."""
    configuration = stack.folder / f"Pulumi.{stack.name}.yaml"
    before = configuration.read_text()
    stack.configure(changed)
    if routes:
        document = yaml.safe_load(configuration.read_text())
        attributes = {"service.version": "$upstream_http_x_version", "url.path": "$uri", "shop.cart": "$cookie_cart"}
        document["config"].setdefault("nginx-tracing:nginx", {})["routes"] = [
            {"path": f"/shop/{number}/", "upstream": "192.0.2.20:8080", "spanAttributes": attributes}
            for number in range(routes)
        ]
        configuration.write_text(yaml.safe_dump(document))
    found = trimmed(json.loads(stack.pulumi("preview", "--json").stdout))
    configuration.write_text(before)
    file = FIXTURES / f"{case}.json"
    if request.config.getoption("--write-golden"):
        file.write_text(f"{json.dumps(found, indent=1, ensure_ascii=False)}\n")
    kept = json.loads(file.read_text())
    assert shape(found) == shape(kept), f"`pytest {__file__} --write-golden`, then `make golden`, regenerate it"


def test_of_a_stack_that_is_not_there(previewed: Stack, request: pytest.FixtureRequest) -> None:
    check(previewed, "first", request, {})
    previewed.up()


@pytest.mark.parametrize(
    ("case", "changed"),
    [
        ("same", {}),
        ("route", {"nginx.routes[0].path": "/shop/", "nginx.routes[0].upstream": "192.0.2.20:8080"}),
        ("edit", {"nginx.sampling.ratio": "0.1", "collector.resources.memoryLimit": "768Mi"}),
        ("replacement", {"namespace": "tracing-elsewhere"}),
        ("deletion", {"networkPolicies": "false"}),
        ("persistent", {"collector.queue.storage": "persistent", "collector.distribution": "contrib"}),
        (
            "upgrade",
            {
                "nginx.image": "nginx:1.31.4-otel",
                "collector.image": "otel/opentelemetry-collector-k8s:0.165.0",
                "tempo.image": "grafana/tempo:3.0.3",
            },
        ),
        ("failing-config", {"nginx.sampling.ratio": "10%", "tempo.replicas": "3"}),
    ],
)
def test_of_a_change(previewed: Stack, case: str, changed: dict[str, str], request: pytest.FixtureRequest) -> None:
    check(previewed, case, request, changed)


def test_of_a_change_too_large_for_a_comment(previewed: Stack, request: pytest.FixtureRequest) -> None:
    check(previewed, "large", request, {"labels.team": "platform"}, routes=250)


def test_without_a_cluster_a_preview_says_what_it_is_of(previewed: Stack, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(KUBECONFIG.read_text().replace("https://", "https://127.0.0.1:1/"))
    alone = Stack(previewed.folder, previewed.name, NAMESPACE, previewed.environment | {"KUBECONFIG": str(nowhere)})
    said = alone.must("preview")
    assert "warning: the cluster cannot be reached" in said
    assert "compares with what Pulumi remembers" in said
    file = tmp_path / "preview.json"
    file.write_text(alone.must("preview", "--json"))
    text = comment([read("dev", file)])
    assert "| no changes, **cluster not seen** |" in text
    assert "the cluster cannot be reached" in text.partition("<details>")[0]


def on_an_ephemeral_cluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `make preview STACK=staging`."""
    command = [sys.executable, "-m", "tools", "preview", "staging", *arguments]
    return subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True)


def test_on_an_ephemeral_cluster_a_stack_s_file_is_previewed_and_left_as_it_is(lab: None) -> None:
    before = {path: path.read_text() for path in REPOSITORY.glob("Pulumi.*.yaml")}
    done = on_an_ephemeral_cluster()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Cluster: the embedded lab, not the stack's own" in done.stdout
    assert "to create" in done.stdout
    assert {path: path.read_text() for path in REPOSITORY.glob("Pulumi.*.yaml")} == before


def test_on_an_ephemeral_cluster_the_api_server_looks_at_each_object(lab: None) -> None:
    neighbour = f"{NAMESPACE}-neighbour"
    port, here = f"--node-port={FREE_NODE_PORT}", f"--namespace={neighbour}"
    remove_namespaces(neighbour, wait=True)
    try:
        assert kubectl("create", "namespace", neighbour).returncode == 0
        assert kubectl("create", "service", "nodeport", "taken", "--tcp=80", port, here).returncode == 0
        done = on_an_ephemeral_cluster("--config-path", f"--config=nginx-tracing:nginx.nodePort={FREE_NODE_PORT}")
    finally:
        remove_namespaces(neighbour)
    assert done.returncode != 0
    assert f"is held by the Service taken in the namespace {neighbour}" in done.stdout


def test_another_cluster_than_the_stack_s_is_refused_before_anything_is_changed(previewed: Stack) -> None:
    configuration = previewed.folder / f"Pulumi.{previewed.name}.yaml"
    before = configuration.read_text()
    previewed.configure({"cluster": "https://198.51.100.1:6443", "nginx.replicas": "2"})
    try:
        # As README says, `destroy` runs the program, and so checks the cluster, where it is told to.
        destroy = ("destroy", "--yes", "--skip-preview", "--run-program")
        for command in (("preview",), ("up", "--yes", "--skip-preview"), destroy):
            refused = previewed.pulumi(*command)
            assert refused.returncode != 0
            assert "this is not the stack's cluster; nothing was changed." in refused.stdout
            assert "pulumi config set kubernetes:context" in refused.stdout
    finally:
        configuration.write_text(before)
    deployed = kubectl("get", "deployment/nginx", f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.replicas}")
    assert deployed.stdout == "1"


def drift(stack: Stack) -> subprocess.CompletedProcess[str]:
    """Runs `make drift` for a stack in another folder."""
    command = [sys.executable, "-m", "tools", "drift", f"--stack={stack.name}"]
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    environment = stack.environment | {"PYTHONPATH": path}
    done = subprocess.run(command, check=False, cwd=stack.folder, env=environment, capture_output=True, text=True)
    # Pulumi writes a stack's file where it finds none: the stack's own folder has one, the checkout has not.
    assert not (REPOSITORY / f"Pulumi.{stack.name}.yaml").exists()
    return done


def test_drift_names_what_pulumi_left_without_knowing_and_the_command_that_removes_it(previewed: Stack) -> None:
    here = f"--namespace={NAMESPACE}"
    for name in ("tempo-config-0a1b2c3d", "somebody-s"):
        assert kubectl("create", "configmap", name, here).returncode == 0
    label = "app.kubernetes.io/part-of=nginx-tracing"
    assert kubectl("label", "configmap", "tempo-config-0a1b2c3d", here, label).returncode == 0
    found = drift(previewed)
    assert found.returncode == 1
    assert found.stdout.splitlines() == [
        "Drift in the cluster of the context nginx-tracing-lab.",
        "",
        "Orphans, labelled as the stack's and not known to Pulumi: 1; to remove them:",
        f"kubectl delete configmap tempo-config-0a1b2c3d --namespace {NAMESPACE}",
    ]
    assert kubectl("delete", "configmap", "tempo-config-0a1b2c3d", here).returncode == 0
    assert drift(previewed).returncode == 0


def test_drift_names_each_object_and_field_that_was_changed(previewed: Stack) -> None:
    untouched = drift(previewed)
    assert (untouched.returncode, untouched.stdout) == (0, "No object drifted.\n"), untouched.stderr
    here = f"--namespace={NAMESPACE}"
    port = '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9999}]'
    for tampering in (
        ("scale", "deployment/nginx", "--replicas=2", here),
        ("set", "env", "deployment/otel-collector", "GOMEMLIMIT=1MiB", here),
        ("patch", "service", "nginx", here, "--type=json", f"--patch={port}"),
        ("delete", "networkpolicy", "--selector=app.kubernetes.io/name=tempo", here),
        ("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"),
    ):
        assert kubectl(*tampering).returncode == 0
    found = drift(previewed)
    assert found.returncode == 1
    assert set(found.stdout.splitlines()) >= {
        "NetworkPolicy tempo of TempoBackend is gone",
        "Deployment nginx of NginxOtel was changed",
        "  - spec.replicas: 1",
        "  + spec.replicas: 2",
        "Deployment otel-collector of OtelCollector was changed",
        '  + spec.template.spec.containers[0].env[0].value: "1MiB"',
        "Service nginx of NginxOtel was changed",
        "  + spec.ports[0].targetPort: 9999",
        f"Namespace {NAMESPACE} was changed",
        '  - metadata.labels["pod-security.kubernetes.io/enforce"]: "restricted"',
        f"To put it back: PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh --stack {previewed.name}",
    }


def test_the_command_that_drift_offers_puts_it_back(previewed: Stack) -> None:
    forced = previewed.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"}
    Stack(previewed.folder, previewed.name, NAMESPACE, forced).must("up", "--refresh", "--yes", "--skip-preview")
    assert drift(previewed).returncode == 0


def test_while_an_update_is_under_way_nothing_is_called_drift(previewed: Stack) -> None:
    """Is the last of the module, because it leaves an interrupted update."""
    # No pod of it is ever Ready, so the update waits until it is interrupted.
    image = previewed.outputs()["nginxImage"]
    # Tempo's gateway keeps its image.
    changed = {"nginx.image": "localhost:5000/lab/missing:1.27.4-otel", "tempo.gateway.image": image}
    previewed.configure(changed)
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", f"--stack={previewed.name}"]
    images = ("get", "deployment/nginx", f"--namespace={NAMESPACE}", "--output=jsonpath={..image}")
    with subprocess.Popen(
        command, cwd=previewed.folder, env=dict(previewed.environment), stdout=subprocess.DEVNULL
    ) as update:
        try:
            wait_for("the Deployment's update", lambda: "lab/missing" in kubectl(*images).stdout or None, 60)
            found = drift(previewed)
        finally:
            update.send_signal(signal.SIGINT)
    assert (found.returncode, found.stdout) == (2, "")
    assert "under way, or was killed, at Deployment nginx; nothing is known of drift" in found.stderr

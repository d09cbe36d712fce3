"""Tests of the whole program under mocks: the resources that it registers, and how it wires them."""

import gc
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.kubernetes import network
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Run
from tools.measure.cost.programs import INSTANCES


def run_case(case: str, run_program: Run) -> Program:
    """Runs the program with a golden case's configuration."""
    values = golden.configuration(case)
    return run_program(golden.as_pulumi_passes_it(values), secrets=list(values))


def test_it_registers_a_namespace_and_three_components_of_three_objects(run_program: Run) -> None:
    program = run_program()
    counts = {kind: len(program.inputs(kind)) for kind in ("Namespace", "ConfigMap", "Deployment", "Service")}
    assert counts == {"Namespace": 1, "ConfigMap": 3, "Deployment": 3, "Service": 4}
    for component in ("TempoBackend", "OtelCollector", "NginxOtel"):
        assert f"nginx-tracing:index:{component}" in program.resources


@pytest.mark.parametrize("case", golden.cases())
def test_every_service_selects_the_pods_of_one_workload_and_a_headless_one_of_one_or_more(
    case: str, run_program: Run
) -> None:
    program = run_case(case, run_program)
    pods = [inputs["spec"]["template"]["metadata"]["labels"] for inputs in program.workloads().values()]
    for service in program.inputs("Service").values():
        selector = service["spec"]["selector"].items()
        selected = len([labels for labels in pods if selector <= labels.items()])
        assert selected == 1 or (selected and service["spec"].get("clusterIP") == "None")
    for workload in program.workloads().values():
        assert (
            workload["spec"]["selector"]["matchLabels"].items()
            <= workload["spec"]["template"]["metadata"]["labels"].items()
        )


@pytest.mark.parametrize("case", golden.cases())
def test_everything_is_in_the_one_namespace_with_the_labels_and_annotations_that_are_set(
    case: str, run_program: Run
) -> None:
    program, settings = run_case(case, run_program), golden.settings_of(case)
    registered = program.objects()
    assert len(registered) >= 4
    for inputs in registered:
        metadata: dict[str, Any] = inputs["metadata"]
        assert (metadata["name"] if inputs["kind"] == "Namespace" else metadata["namespace"]) == settings.namespace
        assert settings.labels.items() <= metadata["labels"].items()
        assert settings.annotations.items() <= metadata.get("annotations", {}).items()


@pytest.mark.parametrize(
    ("case", "preview", "told"),
    [
        ("dev", False, [".venv/bin/python -m tools probe"]),
        ("external-backend", False, [".venv/bin/python -m tools probe --watch"]),
        ("own-collector", False, [".venv/bin/python -m tools probe --watch"]),
        ("dev", True, []),
    ],
)
def test_the_end_of_up_names_the_probe_once(
    run_program: Run, monkeypatch: pytest.MonkeyPatch, case: str, preview: bool, told: list[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    values = golden.configuration(case)
    run_program(golden.as_pulumi_passes_it(values), secrets=list(values), preview=preview)
    assert [message.rpartition(": ")[2] for message in said] == told


@pytest.mark.parametrize("case", ["every-knob", "mirror-registry", "external-backend", "own-collector"])
def test_secrets_stay_secret_on_their_way_to_the_cluster(case: str, run_program: Run) -> None:
    program = run_case(case, run_program)
    marked = [inputs["stringData"] for inputs in program.inputs("Secret").values()]
    assert marked
    for string_data in marked:
        assert SECRET_MARK in string_data
    # The secrets of the golden cases match this.
    secret = re.compile(r"golden-(api-key|token|tenant|registry-password)")
    assert secret.search(str(marked))
    others = {token: list(map(str, items)) for token, items in program.resources.items() if "Secret" not in token}
    for token, resources in others.items():
        for resource in resources:
            assert not secret.search(resource), token
    assert not secret.search(str(program.outputs))


def test_the_namespace_enforces_the_restricted_standard_at_a_pinned_version(run_program: Run) -> None:
    (namespace,) = run_program().inputs("Namespace").values()
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["pod-security.kubernetes.io/enforce-version"] == "v1.32"


def test_each_endpoint_is_a_service_and_port_that_exist(run_program: Run) -> None:
    program = run_program({"namespace": "elsewhere"})
    services = {
        f"{service['metadata']['name']}.elsewhere.svc:{int(port['port'])}"
        for service in program.inputs("Service").values()
        for port in service["spec"]["ports"]
    }
    documents = {name: inputs["data"] for name, inputs in program.inputs("ConfigMap").items()}
    collector = yaml.safe_load(documents["otel-collector-config"]["config.yaml"])
    (exporter,) = collector["exporters"].values()
    assert exporter["endpoint"] in services
    nginx = documents["nginx-config"]["nginx.conf"]
    (endpoint,) = [line.split('"')[1] for line in nginx.splitlines() if line.strip().startswith("endpoint")]
    assert endpoint in services


def test_each_service_s_port_is_a_port_of_its_container(run_program: Run) -> None:
    program = run_program()
    for name, service in program.inputs("Service").items():
        containers = program.pods()[name.removesuffix("-otlp")]["spec"]["containers"]
        names = [port["name"] for container in containers for port in container["ports"]]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(names)
        assert len(names) == len(set(names))


def test_config_objects_are_auto_named_and_services_are_not(run_program: Run) -> None:
    program = run_program()
    for inputs in program.inputs("ConfigMap").values():
        assert "name" not in inputs["metadata"]
    assert {inputs["metadata"]["name"] for inputs in program.inputs("Service").values()} == {
        "nginx",
        "otel-collector",
        "tempo",
        "tempo-otlp",
    }


def test_no_service_is_awaited(run_program: Run) -> None:
    for inputs in run_program().inputs("Service").values():
        assert inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_tempo_s_password_is_in_one_secret_alone_and_hashed_the_same_each_time(run_program: Run) -> None:
    given = {"tempoPassword": "canary-password"}
    programs = [run_program(given, secrets=["tempoPassword"]) for _ in range(2)]
    programs.append(run_program({**given, "namespace": "other"}, secrets=["tempoPassword"]))
    hashes = [str(program.inputs("Secret")["tempo-secrets"]["stringData"]) for program in programs]
    assert hashes[0] == hashes[1] != hashes[2]
    assert "tempo:{SSHA}" in hashes[0]
    assert "canary" not in str([(program.objects(), program.outputs) for program in programs])
    assert programs[0].outputs["tempoUser"] == "tempo"


def test_no_traces_are_read_without_the_password_but_by_the_kubelet(run_program: Run) -> None:
    conf = run_program({"tempoPassword": "canary-password"}, secrets=["tempoPassword"]).inputs("ConfigMap")
    assert conf["tempo-config"]["data"]["gateway-nginx.conf"].count("auth_basic_user_file") == 1
    assert "auth_basic" not in run_program().inputs("ConfigMap")["tempo-config"]["data"]["gateway-nginx.conf"]


def test_the_service_that_lost_the_receiver_s_port_is_updated_after_the_collectors_that_used_it(
    run_program: Run,
) -> None:
    order = [name for name in run_program().order if name in {"otel-collector", "tempo"}]
    # Each of the names belongs to a component, a workload and a Service. Tempo's Service comes last.
    assert order[-1] == "tempo"


def test_a_namespace_that_exists_is_no_resource_and_everything_is_in_it(run_program: Run) -> None:
    program = run_program({"namespace": "shared", "createNamespace": "false"})
    assert not program.inputs("Namespace")
    assert {inputs["metadata"]["namespace"] for inputs in program.objects()} == {"shared"}
    assert program.outputs["namespace"] == "shared"


def test_every_selector_selects_the_stack_s_own_pods_alone(run_program: Run) -> None:
    monitoring, nginx = '{"podMonitors": true}', '{"replicas": 2}'
    program = run_program({"namespace": "shared", "createNamespace": "false", "monitoring": monitoring, "nginx": nginx})
    selectors: list[dict[str, str]] = []
    for inputs in program.objects():
        spec: dict[str, Any] = inputs.get("spec") or {}
        if inputs["kind"] == "Service":
            selectors.append(spec["selector"])
        elif inputs["kind"] == "NetworkPolicy":
            selectors.append(spec["podSelector"]["matchLabels"])
            peers = [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
            peers += [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
            selectors += [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
        elif "selector" in spec:
            selectors.append(spec["selector"]["matchLabels"])
    kinds = {inputs["kind"] for inputs in program.objects()}
    assert {"Service", "NetworkPolicy", "Deployment", "PodDisruptionBudget", "PodMonitor"} <= kinds
    assert len(selectors) > 12
    for selector in selectors:
        assert selector["app.kubernetes.io/part-of"] == "nginx-tracing"


@pytest.mark.parametrize(("port", "ports"), [(None, [443, 6443]), (16443, [16443])])
def test_the_collector_may_reach_the_api_server_s_port(port: int | None, ports: list[int], run_program: Run) -> None:
    collector = {"distribution": "k8s", "kubernetesAttributes": True} | ({"kubernetesApiPort": port} if port else {})
    program = run_program({"collector": json.dumps(collector)})
    egress = program.inputs("NetworkPolicy")["otel-collector"]["spec"]["egress"]
    assert [item["port"] for item in egress[-1]["ports"]] == ports


def test_the_configuration_reaches_the_objects(run_program: Run) -> None:
    nginx: dict[str, Any] = {"replicas": 3, "image": "registry.example/nginx:1", "serviceName": "shop"}
    program: Program = run_program({"nginx": json.dumps(nginx)})
    assert program.inputs("Deployment")["nginx"]["spec"]["replicas"] == 3
    assert program.pods()["nginx"]["spec"]["containers"][0]["image"] == "registry.example/nginx:1"
    assert 'otel_service_name "shop";' in program.inputs("ConfigMap")["nginx-config"]["data"]["nginx.conf"]
    assert program.outputs["nginxImage"] == "registry.example/nginx:1"


def test_the_program_never_looks_for_garbage(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def last(*_: object, after: Sequence[pulumi.Resource]) -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0))

    monkeypatch.setattr(network, "deny_all", last)
    run_program()
    assert seen == [(False, True)]


def test_a_program_can_have_the_components_several_times(run_program: Run, tmp_path: Path) -> None:
    main = tmp_path / "__main__.py"
    main.write_text(INSTANCES)
    program = run_program({"bench:instances": "2"}, main=main)
    # The engine refuses a second resource with the same name and type. The Collector has one more object, its budget.
    registered = [(token, resource.name) for token, found in program.resources.items() for resource in found]
    assert len(registered) == len(set(registered)) == 2 * (1 + 3 + 3 * 4 + 1)
    namespaces = {item["metadata"]["namespace"] for item in program.inputs("Service").values()}
    assert namespaces == {"tracing-bench-0", "tracing-bench-1"}

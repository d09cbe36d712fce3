"""Tests of the whole program under mocks: the resources that it registers, and how it wires them."""

import gc
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.cluster.kubeconfig import ClusterUnreachableError
from components.cluster.nodes import NodeAddressError
from components.kubernetes import network
from tests import golden
from tests.unit.conftest import SECRET_MARK, Program, Recorder, Run
from tools.measure.bench.programs import INSTANCES


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
def test_every_service_selects_the_pods_of_exactly_one_workload(case: str, run_program: Run) -> None:
    program = run_case(case, run_program)
    pods = [inputs["spec"]["template"]["metadata"]["labels"] for inputs in program.workloads().values()]
    for service in program.inputs("Service").values():
        selector = service["spec"]["selector"].items()
        assert len([labels for labels in pods if selector <= labels.items()]) == 1
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


def test_every_pod_meets_the_restricted_standard_with_a_read_only_root(run_program: Run) -> None:
    for pod in run_program().pods().values():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"]["type"] == "RuntimeDefault"
        for volume in pod["spec"]["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


def test_every_container_has_probes_and_resources(run_program: Run) -> None:
    for pod in run_program().pods().values():
        for container in pod["spec"]["containers"]:
            assert container["readinessProbe"]
            assert container["livenessProbe"]
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert set(container["resources"]["limits"]) == {"memory"}


def test_each_endpoint_is_a_service_and_port_that_exist(run_program: Run) -> None:
    program = run_program({"namespace": "elsewhere"})
    services = {
        f"{service['metadata']['name']}.elsewhere.svc:{int(port['port'])}"
        for service in program.inputs("Service").values()
        for port in service["spec"]["ports"]
    }
    documents = {name: inputs["data"] for name, inputs in program.inputs("ConfigMap").items()}
    collector = yaml.safe_load(documents["otel-collector-config"]["config.yaml"])
    assert collector["exporters"]["otlp/tempo"]["endpoint"] in services
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


def test_the_outputs_name_the_urls_the_ports_and_what_runs(run_program: Run) -> None:
    assert run_program().outputs == {
        "nginxUrl": "http://192.0.2.7:31000",
        "tempoUrl": "http://192.0.2.7:31000",
        "nginxNodePort": 31000,
        "tempoNodePort": 31000,
        "namespace": "tracing",
        "edition": "oss",
        "nginxImage": "nginx:1.27.4-otel",
    }


CLUSTER_IP = '{"service": {"type": "ClusterIP"}}'
LOAD_BALANCER = '{"service": {"type": "LoadBalancer"}}'


def test_inside_the_cluster_the_urls_are_those_of_the_services_and_there_is_no_node_port(run_program: Run) -> None:
    outputs = run_program({"nginx": CLUSTER_IP, "tempo": CLUSTER_IP, "namespace": "shop"}).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == ("http://nginx.shop.svc", "http://tempo.shop.svc:3100")
    assert not {"nginxNodePort", "tempoNodePort"} & outputs.keys()


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ({"ip": "203.0.113.5"}, "203.0.113.5"),
        ({"ip": "2001:db8::5"}, "[2001:db8::5]"),
        ({"hostname": "abc.elb.example"}, "abc.elb.example"),
    ],
)
def test_a_load_balancer_s_urls_have_the_address_that_it_was_given(
    address: dict[str, str], host: str, run_program: Run
) -> None:
    outputs = run_program({"nginx": LOAD_BALANCER, "tempo": LOAD_BALANCER}, balancer=address).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == (f"http://{host}", f"http://{host}:3100")
    assert (outputs["nginxNodePort"], outputs["tempoNodePort"]) == (31000, 31000)


@pytest.mark.parametrize("preview", [True, False])
def test_a_load_balancer_without_an_address_gives_no_url_rather_than_a_wrong_one(
    preview: bool, run_program: Run
) -> None:
    outputs = run_program({"nginx": LOAD_BALANCER, "tempo": LOAD_BALANCER}, preview=preview).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == ("unknown", "unknown")


def test_load_balancers_are_awaited_so_that_their_address_is_known(run_program: Run) -> None:
    services = run_program({"nginx": LOAD_BALANCER}).inputs("Service")
    assert "pulumi.com/skipAwait" not in services["nginx"]["metadata"].get("annotations", {})
    assert services["tempo"]["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_with_allowed_addresses_nodes_do_not_hide_the_client_s(run_program: Run) -> None:
    service = '{"service": {"type": "%s", "allowedAddresses": ["203.0.113.0/24"]}}'
    services = run_program({"nginx": service % "NodePort", "tempo": service % "LoadBalancer"}).inputs("Service")
    assert [services[name]["spec"]["externalTrafficPolicy"] for name in ("nginx", "tempo")] == ["Local", "Local"]
    assert services["tempo"]["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24"]
    assert "loadBalancerSourceRanges" not in services["nginx"]["spec"]
    open_to_all = run_program().inputs("Service")
    assert "externalTrafficPolicy" not in open_to_all["nginx"]["spec"]


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


def test_an_address_that_is_configured_goes_before_the_node_s_and_ipv6_is_in_brackets(run_program: Run) -> None:
    def never() -> str:
        pytest.fail("the program asked the cluster for nothing")

    program = run_program({"nodeAddress": "fd00::7", "nginx": '{"nodePort": 30080}'}, node=never)
    assert program.outputs["nginxUrl"] == "http://[fd00::7]:30080"


def test_a_first_preview_does_not_publish_the_dry_run_s_port(run_program: Run) -> None:
    outputs = run_program({"tempo": '{"nodePort": 30310}'}, preview=True).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == ("unknown", "unknown")
    assert (outputs["tempoUrl"], outputs["tempoNodePort"]) == ("http://192.0.2.7:30310", 30310)


def failing(error: type[Exception]) -> Callable[[], str]:
    def fail() -> str:
        raise error("connection refused")

    return fail


@pytest.mark.parametrize(
    ("address", "url"), [({}, "unknown"), ({"nodeAddress": "192.0.2.9"}, "http://192.0.2.9:30080")]
)
def test_a_preview_without_a_cluster_says_so_and_has_the_urls_that_it_can_know(
    address: dict[str, str], url: str, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    configuration = {"nginx": '{"nodePort": 30080}', **address}
    outputs = run_program(configuration, preview=True, node=failing(ClusterUnreachableError)).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == (url, 30080)
    (said,) = warnings
    assert said.startswith(
        "the cluster cannot be reached: connection refused\nThis preview compares with what Pulumi remembers"
    )


def test_a_preview_may_be_of_a_cluster_whose_nodes_may_not_be_read(run_program: Run) -> None:
    configuration = {"nginx": '{"nodePort": 30080}', "nodeAddress": "192.0.2.9"}
    outputs = run_program(configuration, preview=True, node=failing(NodeAddressError)).outputs
    assert outputs["nginxUrl"] == "http://192.0.2.9:30080"


def test_an_up_without_a_cluster_creates_nothing_and_says_how_to_name_one(run_program: Run) -> None:
    with pytest.raises(pulumi.RunError) as error:
        run_program(node=failing(ClusterUnreachableError))
    assert str(error.value) == (
        "no cluster can be reached, and nothing was created: connection refused\n"
        "  Name one that is running: export KUBECONFIG=<file>, or pulumi config set kubernetes:context <context>"
    )


@pytest.mark.parametrize("preview", [False, True])
def test_nodes_that_may_not_be_read_ask_for_the_address(run_program: Run, preview: bool) -> None:
    with pytest.raises(pulumi.RunError) as error:
        run_program(preview=preview, node=failing(NodeAddressError))
    assert str(error.value) == (
        "the address for the stack's URLs cannot be read from the cluster's nodes: connection refused\n"
        "  Give it: pulumi config set nodeAddress <host name or IP address of a node>"
    )


RENDERED = {"kubernetes:renderYamlToDirectory": "manifests", "nodeAddress": "192.0.2.9"}


def never() -> str:
    """Fails the test: nothing may ask for a node."""
    pytest.fail("the program asked a cluster")


@pytest.mark.parametrize("preview", [False, True])
def test_rendering_to_files_asks_no_cluster_and_has_the_outputs_that_are_known(
    preview: bool, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    configuration = {**RENDERED, "nginx": '{"nodePort": 30080}', "cluster": "https://192.0.2.8:6443"}
    outputs = run_program(configuration, preview=preview, node=never).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == ("http://192.0.2.9:30080", 30080)
    assert not {"tempoUrl", "tempoNodePort"} & set(outputs)
    (said,) = warnings
    assert "writes Secrets in plain text" in said


def test_rendering_to_files_without_an_address_is_an_error(run_program: Run) -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set nodeAddress <host name or IP address of a node>"):
        run_program({"kubernetes:renderYamlToDirectory": "manifests"}, node=never)


def test_rendering_services_inside_the_cluster_needs_no_address_of_a_node(run_program: Run) -> None:
    inside = '{"service": {"type": "ClusterIP"}}'
    rendered = {"kubernetes:renderYamlToDirectory": "manifests", "nginx": inside, "tempo": inside}
    assert run_program(rendered, node=never).outputs["nginxUrl"] == "http://nginx.tracing.svc"


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


def test_users_are_left_to_the_cluster_where_it_assigns_them(run_program: Run) -> None:
    for pod in run_program({"podUser": "cluster"}).pods().values():
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


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


def test_a_pod_has_time_for_its_delay_its_requests_and_the_last_export(run_program: Run) -> None:
    shutdown = {"shutdown": {"delay": "10s", "timeout": "1m"}}
    program = run_program({"nginx": json.dumps(shutdown)})
    pod = program.pods()["nginx"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 10 + 60 + 20
    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 10
    assert "worker_shutdown_timeout 1m;" in program.inputs("ConfigMap")["nginx-config"]["data"]["nginx.conf"]


def test_a_drain_takes_one_pod_at_a_time_and_the_only_pod_of_a_component_too(run_program: Run) -> None:
    program = run_program({"nginx": '{"replicas": 2}', "collector": '{"replicas": 1}'})
    (budget,) = program.inputs("PodDisruptionBudget").values()
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": program.inputs("Deployment")["nginx"]["spec"]["selector"],
    }


def test_a_drain_takes_one_at_a_time_of_the_pods_that_an_autoscaler_made(run_program: Run) -> None:
    program = run_program({"nginx": '{"autoscaling": {"maxReplicas": 5}}', "collector": '{"replicas": 1}'})
    assert set(program.inputs("PodDisruptionBudget")) == {"nginx"}


@pytest.mark.parametrize(
    ("collector", "pods"),
    [
        ({}, 2),
        ({"distribution": "k8s", "queue": {"storage": "persistent"}}, 2),
        ({"distribution": "k8s", "sampling": {"tail": {}}}, 1),
        ({"replicas": 1}, 1),
        ({"replicas": 3}, 3),
    ],
    ids=["default", "persistent queue", "tail sampling", "one", "three"],
)
def test_a_second_collector_takes_over_unless_a_trace_has_to_be_whole(
    run_program: Run, collector: dict[str, Any], pods: int
) -> None:
    program = run_program({"collector": json.dumps(collector)})
    kind = "StatefulSet" if "queue" in collector else "Deployment"
    assert program.inputs(kind)["otel-collector"]["spec"]["replicas"] == pods
    assert ("otel-collector" in program.inputs("PodDisruptionBudget")) is (pods > 1)


def test_the_labels_of_a_claim_are_not_the_configuration_s(run_program: Run) -> None:
    program = run_program({"tempo": '{"persistence": {"size": "1Gi"}}', "labels": '{"team": "platform"}'})
    stateful_set = program.inputs("StatefulSet")["tempo"]
    assert stateful_set["metadata"]["labels"]["team"] == "platform"
    # Nobody can edit a claim template.
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["labels"] == stateful_set["spec"]["selector"]["matchLabels"]


def test_the_program_never_looks_for_garbage(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def last(*_: object, after: Sequence[pulumi.Resource]) -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0))

    monkeypatch.setattr(network, "deny_all", last)
    run_program()
    assert seen == [(False, True)]


def test_pods_are_spread_over_nodes_unless_it_is_said_how(run_program: Run) -> None:
    def keys(program: Program) -> set[str]:
        pods = [pod["spec"] for pod in program.pods().values()]
        return {item["topologyKey"] for pod in pods for item in pod["topologySpreadConstraints"]}

    assert keys(run_program()) == {"kubernetes.io/hostname"}
    zones = {"topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}]}
    assert keys(run_program({"scheduling": json.dumps(zones)})) == {"topology.kubernetes.io/zone"}


def test_an_autoscaler_scales_between_the_replicas_and_its_own_maximum(run_program: Run) -> None:
    program = run_program({"nginx": '{"replicas": 2, "autoscaling": {"maxReplicas": 5}}'})
    (scaler,) = program.inputs("HorizontalPodAutoscaler").values()
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nginx"}


def test_a_persistent_queue_is_a_volume_for_each_pod(run_program: Run) -> None:
    collector = {"distribution": "k8s", "replicas": 2, "queue": {"storage": "persistent", "size": "1Gi"}}
    program = run_program({"collector": json.dumps(collector)})
    spec = program.inputs("StatefulSet")["otel-collector"]["spec"]
    assert "otel-collector" not in program.inputs("Deployment")
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["queue"] == "/var/lib/otelcol"


def test_a_program_can_have_the_components_several_times(run_program: Run, tmp_path: Path) -> None:
    main = tmp_path / "__main__.py"
    main.write_text(INSTANCES)
    program = run_program({"bench:instances": "2"}, main=main)
    # The engine refuses a second resource with the same name and type. The Collector has one more object, its budget.
    registered = [(token, resource.name) for token, found in program.resources.items() for resource in found]
    assert len(registered) == len(set(registered)) == 2 * (1 + 3 + 3 * 4 + 1)
    namespaces = {item["metadata"]["namespace"] for item in program.inputs("Service").values()}
    assert namespaces == {"tracing-bench-0", "tracing-bench-1"}


def test_nginx_starts_once_its_collector_takes_spans(run_program: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The module connects when NGINX starts, and loses what comes until gRPC connects again.
    order: list[str] = []
    register = Recorder.new_resource

    def new_resource(self: Recorder, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.endswith((":Deployment", ":StatefulSet")):
            if args.name == "otel-collector":
                # Longer than it takes to register all the others.
                time.sleep(0.5)
            order.append(args.name)
        return register(self, args)

    monkeypatch.setattr(Recorder, "new_resource", new_resource)
    run_program({})
    assert order.index("otel-collector") < order.index("nginx")

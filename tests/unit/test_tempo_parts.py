"""Tests of a distributed Tempo's objects: who reaches whom, what a change of the mode keeps, who gets a secret."""

import json
from typing import Any

import pytest
import yaml

from components.plan.labels import own_labels
from settings import TempoSettings
from tests.unit.conftest import Program, Requests, Run

TEMPO: dict[str, Any] = {
    "mode": "distributed",
    "persistence": {"size": "10Gi"},
    "storage": {"type": "s3", "bucket": "traces", "endpoint": "https://192.0.2.30:9000"},
}
KEYS = {"tempoStorageAccessKey": "access", "tempoStorageSecretKey": "canary-key"}
PARTS = {"distributor", "ingester", "querier", "query-frontend", "compactor", "metrics-generator"}


def run(run_program: Run, others: dict[str, str] | None = None, **tempo: Any) -> Program:
    """Runs the program with a distributed Tempo."""
    secrets = [*KEYS, "tempoPassword", "metricsHeaders"]
    return run_program({"tempo": json.dumps(TEMPO | tempo), **KEYS, **(others or {})}, secrets=secrets)


def tempo_pods(program: Program) -> dict[str, dict[str, Any]]:
    """Returns the templates of Tempo's pods by part."""
    pods = {name: pod for name, pod in program.pods().items() if name.split("-")[0] == "tempo"}
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in pods.values()}


def document(program: Program) -> dict[str, Any]:
    """Returns tempo.yaml."""
    return yaml.safe_load(program.inputs("ConfigMap")["tempo-config"]["data"]["tempo.yaml"])


def peers(rules: list[dict[str, Any]], way: str) -> dict[str, list[int]]:
    """Returns whom rules of a policy allow, with the ports."""
    found: dict[str, list[int]] = {}
    for rule in rules:
        ports = [port["port"] for port in rule.get("ports", [])]
        for peer in rule.get(way, [{}]):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            name = labels.get("app.kubernetes.io/component") or labels.get("app.kubernetes.io/name")
            found.setdefault(name or peer.get("ipBlock", {}).get("cidr", "anybody"), []).extend(ports)
    return found


def test_each_part_runs_by_its_target_with_one_document(run_program: Run) -> None:
    pods = tempo_pods(run(run_program))
    assert set(pods) == PARTS
    for part, pod in pods.items():
        container = pod["spec"]["containers"][0]
        assert container["args"][1:] == [f"-target={part}", "-config.expand-env=true"]
        assert {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in container["env"]
    assert len({str(pod["spec"]["volumes"][0]) for pod in pods.values()}) == 1


def test_the_generator_runs_only_if_something_reads_its_metrics(run_program: Run) -> None:
    program = run(run_program, traceqlMetrics=False)
    assert set(tempo_pods(program)) == PARTS - {"metrics-generator"}
    assert "metrics_generator" not in document(program)
    read = run(run_program, {"prometheus": json.dumps({"enabled": True})}, traceqlMetrics=False)
    assert set(tempo_pods(read)) == PARTS


def test_every_ring_has_three_copies_of_spans_or_members_by_memberlist(run_program: Run) -> None:
    made = document(run(run_program))
    rings = [made[part]["ring"] for part in ("distributor", "compactor", "metrics_generator")]
    rings.append(made["ingester"]["lifecycler"]["ring"])
    assert [ring["kvstore"]["store"] for ring in rings] == ["memberlist"] * 4
    assert made["ingester"]["lifecycler"]["ring"]["replication_factor"] == 3
    assert made["memberlist"]["join_members"] == ["dns+tempo-ring.tracing.svc:7946"]
    assert made["memberlist"]["cluster_label"] == "nginx-tracing/test/tracing"
    assert made["querier"]["frontend_worker"]["frontend_address"] == "tempo-query-frontend.tracing.svc:9095"


def test_a_dollar_sign_of_a_value_is_no_variable(run_program: Run) -> None:
    write = {"remoteWrite": {"url": "https://metrics.example/$POD_IP/write"}}
    (receiver,) = document(run(run_program, {"metrics": json.dumps(write)}))["metrics_generator"]["storage"][
        "remote_write"
    ]
    assert receiver["url"] == "https://metrics.example/$$POD_IP/write"


def test_the_services_keep_their_names_and_lead_to_the_parts(run_program: Run) -> None:
    services = run(run_program).inputs("Service")
    leads = {name: service["spec"]["selector"] for name, service in services.items() if name.startswith("tempo")}
    assert leads == {
        "tempo": own_labels("tempo-query-frontend"),
        "tempo-otlp": own_labels("tempo-distributor"),
        "tempo-ring": own_labels("tempo-ingester"),
        "tempo-query-frontend": own_labels("tempo-query-frontend"),
    }
    headless = {name for name, service in services.items() if service["spec"].get("clusterIP") == "None"}
    assert headless == {"tempo-ring", "tempo-query-frontend"}
    # Parts join before they are Ready, and a query-frontend is Ready once a querier has found it.
    assert all(services[name]["spec"]["publishNotReadyAddresses"] for name in headless)


def test_a_change_of_the_mode_keeps_the_stateful_set_and_its_first_volume(run_program: Run) -> None:
    one = run(run_program, mode="monolithic").inputs("StatefulSet")["tempo"]
    parts = run(run_program).inputs("StatefulSet")["tempo"]
    assert parts["spec"]["replicas"] == 3
    assert one["metadata"] | {"annotations": {}} == parts["metadata"] | {"annotations": {}}
    # Kubernetes refuses a change of these.
    for part in ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"):
        assert one["spec"][part] == parts["spec"][part]
    selector = one["spec"]["selector"]["matchLabels"].items()
    assert selector <= parts["spec"]["template"]["metadata"]["labels"].items()


def test_the_engine_waits_for_no_ingester_that_writes_to_the_bucket_but_before_the_namespace_is_gone(
    run_program: Run, requests: Requests
) -> None:
    sets = run(run_program).inputs("StatefulSet")
    awaited = {name: "pulumi.com/skipAwait" not in one["metadata"]["annotations"] for name, one in sets.items()}
    assert awaited == {"tempo": False, "tempo-metrics-generator": True}
    assert sets["tempo"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 1200
    assert requests["Namespace", "namespace"].customTimeouts.delete == "1800s"
    one = run(run_program, mode="monolithic").inputs("StatefulSet")["tempo"]
    assert "pulumi.com/skipAwait" not in one["metadata"]["annotations"]
    assert requests["Namespace", "namespace"].customTimeouts.delete == "600s"


def test_only_what_a_part_needs_reaches_it(run_program: Run) -> None:
    program = run(run_program)
    policies = {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: policy["spec"]
        for name, policy in program.inputs("NetworkPolicy").items()
        if name.startswith("tempo")
    }
    everybody = {"anybody": [3101], "tempo": [7946]}
    assert {part: peers(policy["ingress"], "from") for part, policy in policies.items()} == {
        "distributor": everybody | {"otel-collector": [4317]},
        "ingester": everybody | {"distributor": [9095], "querier": [9095]},
        "querier": everybody,
        "query-frontend": {"anybody": [3100, 3101], "tempo": [7946], "querier": [9095]},
        "compactor": everybody,
        "metrics-generator": everybody | {"distributor": [9095], "querier": [9095]},
    }
    dns = {"anybody": [53, 53, 5353, 5353]}
    bucket = dns | {"tempo": [7946], "192.0.2.30/32": [9000]}
    assert {part: peers(policy["egress"], "to") for part, policy in policies.items()} == {
        "distributor": dns | {"tempo": [7946], "ingester": [9095], "metrics-generator": [9095]},
        "ingester": bucket,
        "querier": bucket | {"ingester": [9095], "metrics-generator": [9095], "query-frontend": [9095]},
        "query-frontend": bucket,
        "compactor": bucket,
        "metrics-generator": bucket,
    }


def test_the_collector_sends_to_the_distributors_alone(run_program: Run) -> None:
    program = run(run_program)
    egress = program.inputs("NetworkPolicy")["otel-collector"]["spec"]["egress"]
    assert peers(egress, "to") == {"anybody": [53, 53, 5353, 5353], "distributor": [4317]}
    text = program.inputs("ConfigMap")["otel-collector-config"]["data"]["config.yaml"]
    assert "tempo-otlp.tracing.svc:4317" in text


def test_secrets_are_in_the_parts_that_need_them_alone(run_program: Run) -> None:
    others = {
        "tempoPassword": "canary-password",
        "metricsHeaders": json.dumps({"authorization": "Bearer canary"}),
        "metrics": json.dumps({"remoteWrite": {"url": "https://metrics.example/write"}}),
    }
    pods = tempo_pods(run(run_program, others))
    volumes = {
        part: {volume["name"] for volume in pod["spec"]["volumes"] if "secret" in volume} for part, pod in pods.items()
    }
    assert volumes == {part: set[str]() for part in PARTS} | {
        "query-frontend": {"secrets"},
        "metrics-generator": {"metrics-secrets"},
    }
    with_key = {
        part
        for part, pod in pods.items()
        if "AWS_SECRET_ACCESS_KEY" in {variable["name"] for variable in pod["spec"]["containers"][0]["env"]}
    }
    assert with_key == PARTS - {"distributor"}


def test_an_ingester_has_time_to_write_what_it_holds_to_the_bucket(run_program: Run) -> None:
    program = run(run_program)
    assert document(program)["ingester"]["flush_all_on_shutdown"] is True
    seconds = {part: pod["spec"]["terminationGracePeriodSeconds"] for part, pod in tempo_pods(program).items()}
    assert seconds.pop("ingester") == 1200
    assert set(seconds.values()) == {30}


def test_clients_of_a_part_learn_of_its_end_before_it_stops(run_program: Run) -> None:
    delayed = {
        part: [container.get("lifecycle", {}).get("preStop") for container in pod["spec"]["containers"]]
        for part, pod in tempo_pods(run(run_program)).items()
    }
    sleep = {"sleep": {"seconds": 5}}
    assert delayed.pop("distributor") == [sleep, None]
    assert delayed.pop("query-frontend") == [sleep, sleep]
    assert all(hooks == [None, None] for hooks in delayed.values())


def test_a_frontend_without_queriers_is_not_restarted(run_program: Run) -> None:
    probes = {
        part: pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["path"]
        for part, pod in tempo_pods(run(run_program)).items()
    }
    assert probes.pop("query-frontend") == "/metrics"
    assert set(probes.values()) == {"/ready"}


def test_parts_prefer_other_zones_and_nodes_unless_the_configuration_says_where(run_program: Run) -> None:
    for part, pod in tempo_pods(run(run_program)).items():
        (term,) = pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert term["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"
        assert term["podAffinityTerm"]["labelSelector"]["matchLabels"] == own_labels(f"tempo-{part}")
        (spread,) = pod["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
    spread = {"topologySpread": [{"topologyKey": "rack"}]}
    for pod in tempo_pods(run(run_program, {"scheduling": json.dumps(spread)})).values():
        assert "affinity" not in pod["spec"]


def test_budgets_and_autoscalers_are_those_of_the_parts(run_program: Run) -> None:
    scaled = {"replicas": 2, "autoscaling": {"maxReplicas": 5}}
    program = run(run_program, distributor=scaled, querier={"replicas": 1})
    budgets = {
        name: budget["spec"]["selector"]["matchLabels"].get("app.kubernetes.io/component")
        for name, budget in program.inputs("PodDisruptionBudget").items()
        if name.startswith("tempo")
    }
    assert budgets == {
        "tempo": "ingester",
        "tempo-distributor": "distributor",
        "tempo-query-frontend": "query-frontend",
    }
    (autoscaler,) = (each for name, each in program.inputs("HorizontalPodAutoscaler").items() if "tempo" in name)
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "tempo-distributor"
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == (2, 5)


def test_each_part_whose_pods_have_no_volume_can_have_an_autoscaler(run_program: Run) -> None:
    keys = ("distributor", "querier", "queryFrontend", "compactor")
    scaled: dict[str, Any] = {key: {"autoscaling": {"maxReplicas": 5}} for key in keys}
    program = run(run_program, **scaled)
    autoscalers = [each["spec"] for each in program.inputs("HorizontalPodAutoscaler").values()]
    assert {spec["scaleTargetRef"]["name"]: (spec["minReplicas"], spec["maxReplicas"]) for spec in autoscalers} == {
        "tempo-distributor": (2, 5),
        "tempo-querier": (2, 5),
        "tempo-query-frontend": (2, 5),
        "tempo-compactor": (1, 5),
    }
    # An eviction waits for another pod that the autoscaler made.
    assert "tempo-compactor" in program.inputs("PodDisruptionBudget")


def test_the_number_of_pods_is_pulumi_s_unless_an_autoscaler_sets_it(run_program: Run, requests: Requests) -> None:
    run(run_program, distributor={"autoscaling": {"maxReplicas": 5}})
    ignored = {
        name: list(request.ignoreChanges)
        for (kind, name), request in requests.items()
        if kind in {"Deployment", "StatefulSet"} and name.startswith("tempo")
    }
    assert ignored.pop("tempo-distributor") == ["spec.replicas"]
    assert set(ignored) == {"tempo", *(f"tempo-{part}" for part in PARTS - {"distributor", "ingester"})}
    assert not any(ignored.values())


def test_one_process_is_as_it_was_with_all_keys_of_parts_at_their_defaults() -> None:
    assert TempoSettings().parts(makes_metrics=True) == {}


@pytest.mark.parametrize("poll", ["1s", "5m"])
def test_an_old_list_of_the_bucket_is_not_used(run_program: Run, poll: str) -> None:
    made = document(run(run_program, flush={"blocklistPoll": poll, "completeBlockTimeout": "15m"}))
    stale = made["storage"]["trace"]["blocklist_poll_stale_tenant_index"]
    assert stale == {"1s": "2000ms", "5m": "600000ms"}[poll]

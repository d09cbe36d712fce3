"""Tests the two tiers of Collectors that tail sampling with several replicas makes."""

from typing import Any

import pytest

from components.documents.collector_tiers import first_tier_document, second_tier_document
from components.plan.pods import pods_of
from settings import CollectorSettings, Settings
from settings.collector_tiers import DECIDER_RECEIVER, decider_delay
from settings.limits import Exports, receiver
from settings.sizes import MIB
from tests import golden
from tests.unit.conftest import Program, Run

EXPORTS = Exports(512, 25_600, upstream_spans=True, are_sampled=True)
TIERS: dict[str, Any] = {"replicas": 2, "sampling": {"tail": {"replicas": 3}}}


def documents(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the documents of both tiers."""
    settings = CollectorSettings.model_validate(TIERS | more)
    first = first_tier_document(settings, deciders="otel-collector-decider.tracing.svc", namespace="tracing")
    return first, second_tier_document(settings, backend="tempo:4317", namespace="tracing", exports=EXPORTS)


def processors(document: dict[str, Any]) -> list[str]:
    """Returns the processors of the pipeline that receives spans."""
    return document["service"]["pipelines"]["traces"]["processors"]


def test_what_needs_the_sender_s_connection_stands_in_the_first_tier_and_all_else_behind() -> None:
    first, second = documents(kubernetesAttributes=True)
    assert processors(first) == ["memory_limiter", "k8s_attributes"]
    assert processors(second) == ["memory_limiter", "attributes/sampling", "tail_sampling", "batch"]
    assert "connectors" not in first
    assert second["connectors"] == {"forward/upstreams": {}}


def test_only_the_deciders_have_backends_and_volumes() -> None:
    vendor = {"vendor": {"endpoint": "otlp.example.com:4317"}}
    first, second = documents(exporters=vendor, queue={"storage": "persistent"})
    assert list(first["exporters"]) == ["load_balancing/deciders"]
    assert list(second["exporters"]) == ["otlp/tempo", "otlp/vendor"]
    assert [list(document["extensions"]) for document in (first, second)] == [
        ["health_check"],
        ["health_check", "file_storage"],
    ]


def test_a_decider_takes_more_than_the_first_tier_and_the_first_tier_no_more_than_the_backends() -> None:
    vendor = {"vendor": {"endpoint": "otlp.example.com:4317", "maxMessageSize": "4Mi"}}
    first, second = documents(exporters=vendor)
    taken = [
        document["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"] for document in (first, second)
    ]
    assert taken == [4, DECIDER_RECEIVER // MIB]
    assert receiver(CollectorSettings()) * 8 == DECIDER_RECEIVER


def test_nothing_is_given_up_on_the_way_to_a_decider() -> None:
    (exporter,) = documents()[0]["exporters"].values()
    # A queue of an exporter to one decider would be dropped with it.
    assert exporter["protocol"]["otlp"]["sending_queue"] == {"enabled": False}
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    for repeats in (exporter["retry_on_failure"], exporter["protocol"]["otlp"]["retry_on_failure"]):
        assert repeats["multiplier"] > 1


def test_the_first_tier_joins_no_messages() -> None:
    # 0.171 is announced to join them unless it is told otherwise, and two may be larger than a decider takes.
    for image, told in (("otelcol-k8s:0.160.0", None), ("otelcol-k8s:0.171.0", {"enabled": False})):
        (exporter,) = documents(image=image)[0]["exporters"].values()
        assert exporter["sending_queue"].get("batch") == told


@pytest.mark.parametrize(("wait", "delay"), [("5s", 40), ("1500ms", 37), ("2m", 155)])
def test_a_decider_goes_on_until_the_first_tier_has_left_it_and_each_trace_has_had_its_wait(
    wait: str, delay: int
) -> None:
    assert decider_delay(CollectorSettings.model_validate({"sampling": {"tail": {"decisionWait": wait}}})) == delay


def test_there_are_as_many_deciders_as_replicas_unless_it_says_otherwise() -> None:
    configured: list[dict[str, Any]] = [
        {"sampling": {"tail": {}}},
        {"replicas": 4, "sampling": {"tail": {}}},
        {"replicas": 2, "sampling": {"tail": {"replicas": 1}}},
        {"autoscaling": {"maxReplicas": 4}, "sampling": {"tail": {}}},
        {"replicas": 3, "autoscaling": {"maxReplicas": 4}, "sampling": {"tail": {}}},
    ]
    made = [
        {pod.component: pod.replicas for pod in pods_of(Settings.model_validate({"collector": collector}))}
        for collector in configured
    ]
    expected = [(1, None), (4, 4), (2, 1), (2, 2), (3, 3)]
    assert [(one["otel-collector"], one.get("otel-collector-decider")) for one in made] == expected


def test_an_autoscaler_scales_the_first_tier_alone(run_program: Run) -> None:
    configured = TIERS | {"autoscaling": {"maxReplicas": 5}, "queue": {"storage": "persistent"}}
    made = run_program(golden.as_pulumi_passes_it({"collector": configured}))
    scalers = {name: one["spec"] for name, one in made.inputs("HorizontalPodAutoscaler").items()}
    assert list(scalers) == ["otel-collector"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "otel-collector"}
    assert scalers["otel-collector"]["scaleTargetRef"] == target
    assert (scalers["otel-collector"]["minReplicas"], scalers["otel-collector"]["maxReplicas"]) == (2, 5)
    assert made.inputs("Deployment")["otel-collector"]["spec"]["replicas"] == 2
    assert made.inputs("StatefulSet")["otel-collector-decider"]["spec"]["replicas"] == 3


def test_the_proxy_is_the_deciders_alone(run_program: Run) -> None:
    more = {
        "proxy": {"url": "http://proxy.example.com:3128"},
        "exporters": {"vendor": {"endpoint": "otlp.example.com:4317"}},
    }
    made = run_program(golden.as_pulumi_passes_it({"collector": TIERS | more}))
    proxied = {
        name
        for name, pod in made.pods().items()
        for variable in pod["spec"]["containers"][0].get("env", [])
        if variable["name"] == "HTTPS_PROXY"
    }
    # The first tier reaches no backend.
    assert proxied == {"otel-collector-decider"}


@pytest.fixture
def program(run_program: Run) -> Program:
    """Runs the program with two tiers."""
    return run_program(golden.as_pulumi_passes_it({"collector": TIERS, "prometheus": {"enabled": True}}))


def peers(rules: list[dict[str, Any]], side: str) -> dict[str, list[int]]:
    """Returns the ports that rules of a policy open, by the component at their other end; none for every address."""
    return {
        rule[side][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] if side in rule else "anywhere": [
            int(port["port"]) for port in rule["ports"]
        ]
        for rule in rules
    }


def test_each_tier_reaches_the_next_one_alone(program: Program) -> None:
    policies = {name: policy["spec"] for name, policy in program.inputs("NetworkPolicy").items()}
    first, second, tempo = (policies[name] for name in ("otel-collector", "otel-collector-decider", "tempo"))
    dns = [53, 53, 5353, 5353]
    assert peers(first["egress"], "to") == {"anywhere": dns, "otel-collector-decider": [4317]}
    assert peers(second["ingress"], "from") == {"otel-collector": [4317], "anywhere": [8888]}
    assert peers(second["egress"], "to") == {"anywhere": dns, "tempo": [4317]}
    takes = {sender for sender, ports in peers(tempo["ingress"], "from").items() if 4317 in ports}
    assert takes == {"otel-collector-decider"}
    assert "otel-collector-decider" in peers(policies["prometheus"]["egress"], "to")
    (names,) = policies["deny-all"]["podSelector"]["matchExpressions"]
    assert "otel-collector-decider" in names["values"]


def test_addresses_behind_a_backend_s_service_are_the_deciders_alone(run_program: Run) -> None:
    exporters = {"vendor": {"endpoint": "otlp.partner.svc:4317", "tls": {"enabled": False}}}
    configured = golden.as_pulumi_passes_it({"collector": TIERS | {"exporters": exporters}})
    made = run_program(configured, found=[("192.0.2.1", 4444)]).inputs("NetworkPolicy")
    reach = [
        any(port["port"] == 4444 for rule in made[name]["spec"]["egress"] for port in rule.get("ports", []))
        for name in ("otel-collector", "otel-collector-decider")
    ]
    assert reach == [False, True]


def test_one_replica_that_an_autoscaler_adds_to_has_others_to_choose_among(run_program: Run) -> None:
    collector = {"replicas": 1, "autoscaling": {"maxReplicas": 3}, "trafficDistribution": "PreferClose"}
    made = run_program(golden.as_pulumi_passes_it({"collector": collector}))
    assert made.inputs("Service")["otel-collector"]["spec"]["trafficDistribution"] == "PreferClose"


def test_the_first_tier_comes_after_the_deciders_whose_name_is_that_of_each_ready_pod(program: Program) -> None:
    workloads = [name for name in program.order if name in program.workloads()]
    assert workloads.index("otel-collector-decider") < workloads.index("otel-collector") < workloads.index("nginx")
    services = program.inputs("Service")
    assert services["otel-collector-decider"]["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in services["otel-collector"]["spec"]


def test_a_decider_has_time_to_leave_to_decide_and_to_send(program: Program) -> None:
    pods = {name: pod["spec"] for name, pod in program.pods().items()}
    decider, first = pods["otel-collector-decider"], pods["otel-collector"]
    delays = [pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] for pod in (decider, first)]
    assert delays == [40, 5]
    assert [pod["terminationGracePeriodSeconds"] for pod in (decider, first)] == [80, 45]

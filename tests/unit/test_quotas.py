"""Tests of the room that a namespace's quotas have for the stack."""

from typing import Any

import pulumi
import pytest

from components.cluster.quantities import quantity
from components.cluster.quotas import Live, shortages, without_room_to_roll
from components.kubernetes.workload import refuse_to_roll
from tests.unit.fake_api import Object, listed
from tests.unit.fake_cluster import checked, container, own_pod, own_pods, quota, refusal, service, settings, with_quota


def test_every_resource_without_room_is_told_at_once_with_what_is_asked_and_what_is_free() -> None:
    hard = {"requests.cpu": "1", "limits.memory": "4Gi", "pods": "10", "services.nodeports": "1"}
    used = {"requests.cpu": "900m", "limits.memory": "0", "pods": "9", "services.nodeports": "0"}
    said = refusal(settings(nginx={"resources": {"cpu": "100m"}}), with_quota(quota(hard, used)))
    assert said.splitlines() == [
        "  ResourceQuota team of the namespace shared: requests.cpu",
        "    the stack asks for 410m and has 0 of them; 100m of 1 are free",
        "    kubectl --namespace shared describe resourcequota team",
        "",
        "  ResourceQuota team of the namespace shared: limits.memory",
        "    the stack asks for 5176Mi and has 0 of them; 4Gi of 4Gi are free",
        "    kubectl --namespace shared describe resourcequota team",
        "    pulumi config set --path nginx.resources.memoryLimit 968Mi",
        "",
        "  ResourceQuota team of the namespace shared: pods",
        "    the stack asks for 4 and has 0 of them; 1 of 10 are free",
        "    kubectl --namespace shared describe resourcequota team",
        "",
        "  ResourceQuota team of the namespace shared: services.nodeports",
        "    the stack asks for 2 and has 0 of them; 1 of 1 are free",
        "    kubectl --namespace shared describe resourcequota team",
    ]


def test_what_is_made_smaller_is_the_largest_that_the_rules_let_be() -> None:
    def commands(free: str, **values: Any) -> tuple[str, ...]:
        (short,) = shortages(settings(**values), Live([quota({"limits.memory": free})], own={"pods": []}))
        return short.commands

    # NGINX has 2Gi of the 5176Mi, and Tempo 2000Mi.
    assert commands("4Gi") == ("pulumi config set --path nginx.resources.memoryLimit 968Mi",)
    # The spans that NGINX may hold need 1716Mi of its memory. Tempo needs less than it has.
    exporter = {"batchSize": 512, "batchCount": 32}
    assert commands("4Gi", nginx={"exporter": exporter}) == (
        "pulumi config set --path tempo.resources.memoryLimit 920Mi",
    )
    assert commands("1Gi") == ()


def test_what_the_stack_has_already_is_no_second_demand() -> None:
    pods = own_pods()
    full = quota({"requests.cpu": "410m", "count/pods": "4"}, {"requests.cpu": "410m", "count/pods": "4"})
    nginx = {"resources": {"cpu": "100m"}}
    assert shortages(settings(nginx=nginx), Live([full], own={"pods": pods})) == []
    # Without them, or after they have ended, it is.
    assert len(shortages(settings(nginx=nginx), Live([full], own={"pods": []}))) == 2
    assert len(shortages(settings(nginx=nginx), Live([full], own={"pods": own_pods("Failed")}))) == 2


def test_a_second_replica_is_a_demand_for_itself_alone() -> None:
    pods = own_pods()
    full = quota({"pods": "5"}, {"pods": "4"})
    assert shortages(settings(nginx={"replicas": 2}), Live([full], own={"pods": pods})) == []
    (short,) = shortages(settings(nginx={"replicas": 3}), Live([full], own={"pods": pods}))
    assert short.text == "the stack asks for 6 and has 4 of them; 1 of 5 are free"


def test_a_quota_on_cpu_limits_refuses_pods_without_one_and_the_commands_set_them() -> None:
    said = refusal(settings(), with_quota(quota({"limits.cpu": "10"})))
    assert said.splitlines() == [
        "  ResourceQuota team of the namespace shared: limits.cpu",
        "    Kubernetes refuses pods without a CPU limit if a quota counts it; "
        "nginx and collector and tempo and tempo.gateway have none",
        "    kubectl --namespace shared describe resourcequota team",
        "    pulumi config set --path nginx.resources.cpuLimit 1",
        "    pulumi config set --path collector.resources.cpuLimit 1",
        "    pulumi config set --path tempo.resources.cpuLimit 1",
        "    pulumi config set --path tempo.gateway.resources.cpuLimit 1",
    ]
    one: dict[str, Any] = {"resources": {"cpuLimit": "1"}}
    limited: dict[str, Any] = {"nginx": one, "collector": one, "tempo": {**one, "gateway": one}}
    checked(settings(**limited), **with_quota(quota({"limits.cpu": "10"})))


@pytest.mark.parametrize("key", ["default", "max"])
def test_a_limit_that_the_namespace_gives_to_containers_is_counted_as_theirs(key: str) -> None:
    of_containers = {"spec": {"limits": [{"type": "Container", key: {"cpu": "500m"}}]}}
    ranges: dict[str, Any] = {"GET /api/v1/namespaces/shared/limitranges": listed(of_containers)}
    # Five containers: two Collectors, and two in Tempo's pod.
    checked(settings(), **with_quota(quota({"limits.cpu": "2500m"}), **ranges))
    assert "the stack asks for 2500m and has 0 of them; 1 of 1 are free" in refusal(
        settings(), with_quota(quota({"limits.cpu": "1"}), **ranges)
    )


def test_an_init_container_counts_where_it_asks_for_more_than_the_containers_together() -> None:
    # A mesh's sidecar runs all the time, beside the containers after it.
    init = [container("sidecar", restartPolicy="Always"), container("setup", cpu="350m")]
    pods = [own_pod("nginx", initContainers=init), *own_pods()[1:]]
    full = quota({"requests.cpu": "760m"}, {"requests.cpu": "760m"})
    nginx = {"resources": {"cpu": "450m"}}
    assert shortages(settings(nginx=nginx), Live([full], own={"pods": pods})) == []
    (short,) = shortages(settings(nginx={"resources": {"cpu": "451m"}}), Live([full], own={"pods": pods}))
    assert short.text == "the stack asks for 761m and has 760m of them; 0 of 760m are free"


def test_upstreams_whose_names_a_pod_resolves_ask_for_no_more() -> None:
    def asked(**nginx: Any) -> Object:
        hard = {"requests.cpu": "0", "limits.memory": "0"}
        live = Live([quota(hard)], own={"pods": []})
        return {short.resource: short.text for short in shortages(settings(nginx=nginx), live)}

    routes = [{"path": "/", "upstream": {"service": "shop", "port": 80}}]
    assert asked(routes=routes) == asked()


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "NodePort"}, 1, 0),
        ({"type": "ClusterIP"}, 0, 0),
        ({"type": "LoadBalancer"}, 1, 1),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, 1, 1),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}, 0, 1),
    ],
)
def test_services_count_by_their_type(spec: dict[str, Any], ports: int, balancers: int) -> None:
    given = settings(nginx={"service": {"type": "LoadBalancer"}})
    hard = {"services.nodeports": "0", "services.loadbalancers": "0"}
    live = Live([quota(hard)], own={"services": [service("nginx", "shared", 30080, **spec)]})
    found = {short.resource: short.text for short in shortages(given, live)}
    assert found["services.nodeports"] == f"the stack asks for 2 and has {ports} of them; 0 of 0 are free"
    assert ("services.loadbalancers" in found) == (balancers == 0)


def of_priority(operator: str, *values: str) -> dict[str, Any]:
    expression = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    return {"scopeSelector": {"matchExpressions": [expression]}}


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        (of_priority("In", "high"), True),
        (of_priority("In", "low"), False),
        (of_priority("NotIn", "low"), True),
        (of_priority("DoesNotExist"), False),
    ],
)
def test_a_quota_of_other_pods_does_not_count(spec: dict[str, Any], counts: bool) -> None:
    given = settings(scheduling={"priorityClass": "high"})
    live = Live([quota({"pods": "1"}, **spec)], own={"pods": []})
    assert bool(shortages(given, live)) is counts


def test_volumes_count_by_number_by_size_and_by_class() -> None:
    given = settings(tempo={"persistence": {"size": "10Gi", "storageClass": "fast"}})
    hard = {
        "requests.storage": "5Gi",
        "persistentvolumeclaims": "0",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "slow.storageclass.storage.k8s.io/requests.storage": "0",
        "count/statefulsets.apps": "0",
    }
    own: dict[str, list[Object]] = {"persistentvolumeclaims": [], "statefulsets.apps": []}
    found = {short.resource: short.text for short in shortages(given, Live([quota(hard)], own=own))}
    assert set(found) == set(hard) - {"slow.storageclass.storage.k8s.io/requests.storage"}
    assert found["requests.storage"] == "the stack asks for 10Gi and has 0 of them; 5Gi of 5Gi are free"
    claim = {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "10Gi"}}}}
    used = {"requests.storage": "10Gi", "persistentvolumeclaims": "1"}
    full = quota({"requests.storage": "10Gi", "persistentvolumeclaims": "1"}, used)
    assert shortages(given, Live([full], own={"persistentvolumeclaims": [claim]})) == []


def test_a_component_that_runs_and_has_no_room_for_one_pod_more_is_named_and_a_first_deployment_is_not() -> None:
    full = quota({"pods": "4"}, {"pods": "4"})
    pods = own_pods()
    volume = settings(tempo={"persistence": {"size": "1Gi"}})
    lacking = without_room_to_roll(volume, Live([full], own={"pods": pods}))
    # A StatefulSet ends a pod before it starts the next one.
    assert set(lacking) == {"nginx", "otel-collector"}
    assert lacking["nginx"] == "pods of the ResourceQuota team: a pod asks for 1, 0 of 4 are free"
    assert without_room_to_roll(volume, Live([full], own={"pods": []})) == {}
    room_for_one = quota({"pods": "5"}, {"pods": "4"})
    assert without_room_to_roll(volume, Live([room_for_one], own={"pods": pods})) == {}
    findings, _ = checked(settings(nginx={"resources": {"cpu": "100m"}}), **with_quota(full, pods=tuple(pods)))
    assert set(findings.no_room_to_roll) == {"nginx", "otel-collector", "tempo"}


def test_an_update_without_room_to_roll_is_refused_if_it_touches_the_pods() -> None:
    def update(before: Object, after: Object) -> pulumi.ResourceHookArgs:
        return pulumi.ResourceHookArgs(
            "urn", "id", "nginx", "t", old_inputs={"spec": before}, new_inputs={"spec": after}
        )

    refuse = refuse_to_roll("nginx", "pods of the ResourceQuota team: …")
    refuse(update({"template": {"a": 1}, "replicas": 1}, {"template": {"a": 1}, "replicas": 2}))
    with pytest.raises(pulumi.RunError, match=r"there is no room for it\. pods of the ResourceQuota team"):
        refuse(update({"template": {"a": 1}}, {"template": {"a": 2}}))


@pytest.mark.parametrize(
    ("text", "number"), [("100m", "0.1"), ("1Gi", str(2**30)), ("1e3", "1000"), ("5u", "0.000005"), ("1k", "1000")]
)
def test_quantities_are_read_as_the_api_server_writes_them(text: str, number: str) -> None:
    assert quantity(text) == quantity(number)

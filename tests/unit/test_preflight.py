"""Tests of the errors about a cluster that would refuse the stack."""

import asyncio
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.findings import Findings
from components.cluster.preflight import preflight
from components.cluster.quantities import quantity
from components.cluster.quotas import Live, shortages, without_room_to_roll
from components.kubernetes.workload import refuse_to_roll
from settings import Settings
from tests.unit.fake_api import FakeApi, Object, Said, listed, missing, refused, serving

HEAD = "the cluster would refuse this configuration; nothing was changed.\n\n"
OWN = {"app.kubernetes.io/part-of": "nginx-tracing"}


def settings(**values: Any) -> Settings:
    return Settings.model_validate({"namespace": "shared", "createNamespace": False, **values})


def namespace(**metadata: Any) -> Said:
    return 200, {"kind": "Namespace", "metadata": {"name": "shared", **metadata}}


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used or {}}}


def container(name: str, cpu: str = "100m", **more: Any) -> Object:
    resources = {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    return {"name": name, "resources": resources, **more}


def own_pod(component: str, phase: str = "Running", **spec: Any) -> Object:
    gateway = [container("gateway", cpu="10m")] if component == "tempo" else []
    return {
        "metadata": {"name": f"{component}-1", "labels": {**OWN, "app.kubernetes.io/name": component}},
        "spec": {"containers": [container(component), *gateway], **spec},
        "status": {"phase": phase},
    }


def own_pods(phase: str = "Running") -> list[Object]:
    """Returns the pods of the defaults: two Collectors, and a Tempo with its gateway."""
    return [own_pod(component, phase) for component in ("nginx", "otel-collector", "otel-collector", "tempo")]


def service(name: str, in_namespace: str, port: int, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "namespace": in_namespace, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}], **spec}}


FREE = refused(422, 'Service "x" is invalid: spec.sessionAffinity: Unsupported value: "Preflight"')
"""The API server's refusal of a Service whose port is free. It never creates that Service."""

FINE: dict[str, Any] = {
    "GET /api/v1/namespaces/shared": namespace(),
    "GET /api/v1/namespaces/shared/resourcequotas": listed(),
    "POST /api/v1/namespaces/shared/pods": (201, {"kind": "Pod"}),
    "GET /api/v1/services": listed(),
    "POST /api/v1/namespaces/shared/services": FREE,
}


async def looked(given: Settings, kubeconfig: str) -> Findings:
    async with Api(kubeconfig, None) as api:
        return await preflight(given, api)


def checked(given: Settings, **answers: Any) -> tuple[Findings, FakeApi]:
    """Runs the checks on a cluster with these answers, which are by `METHOD path`."""
    with serving(FakeApi({**FINE, **answers})) as api:
        return asyncio.run(looked(given, api.kubeconfig)), api


def refusal(given: Settings, answers: dict[str, Any] | None = None) -> str:
    with pytest.raises(pulumi.RunError) as error:
        checked(given, **(answers or {}))
    assert str(error.value).startswith(HEAD)
    return str(error.value).removeprefix(HEAD)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


def test_a_cluster_that_takes_everything_is_asked_in_few_requests_and_changed_by_none(warnings: list[str]) -> None:
    findings, api = checked(settings())
    assert findings == Findings()
    assert warnings == []
    assert sorted(api.asked) == [
        "GET /api/v1/namespaces/shared",
        "GET /api/v1/namespaces/shared/resourcequotas",
        *["POST /api/v1/namespaces/shared/pods?dryRun=All"] * 3,
    ]


def test_a_namespace_of_the_stack_s_own_is_not_asked_about_its_pods() -> None:
    _, api = checked(settings(createNamespace=True))
    assert not any("pods" in request for request in api.asked)


def test_a_namespace_that_is_not_there_is_an_error_with_the_command_that_creates_it() -> None:
    assert refusal(settings(), {"GET /api/v1/namespaces/shared": missing("shared")}) == (
        '  nginx-tracing:namespace = "shared"\n'
        "    there is no such namespace, and `createNamespace` is false\n"
        "    kubectl create namespace shared\n"
        "    or: pulumi config set createNamespace true"
    )


def test_a_first_deployment_that_creates_its_namespace_is_let_pass() -> None:
    findings, _ = checked(settings(createNamespace=True), **{"GET /api/v1/namespaces/shared": missing("shared")})
    assert findings == Findings()


@pytest.mark.parametrize("create", [True, False])
def test_a_namespace_that_is_being_deleted_is_an_error(create: bool) -> None:
    ending = {"GET /api/v1/namespaces/shared": namespace(deletionTimestamp="2026-11-26T04:00:00Z")}
    assert "is terminating, and takes no new objects until it is gone" in refusal(
        settings(createNamespace=create), ending
    )


def test_a_namespace_that_the_program_created_is_not_handed_over_which_would_delete_it() -> None:
    said = refusal(settings(), {"GET /api/v1/namespaces/shared": namespace(labels=OWN)})
    assert said.startswith("  nginx-tracing:createNamespace = false\n")
    assert "Pulumi would delete it, with everything in it" in said
    assert "\n    pulumi config set createNamespace true\n" in said


def test_of_a_namespace_that_may_not_be_read_what_is_in_it_is_judged(warnings: list[str]) -> None:
    forbidden = refused(403, 'namespaces "shared" is forbidden: User "me" cannot get resource "namespaces"')
    assert checked(settings(), **{"GET /api/v1/namespaces/shared": forbidden})[0] == Findings()
    assert warnings == []
    full = {**with_quota(quota({"pods": "1"})), "GET /api/v1/namespaces/shared": forbidden}
    assert "ResourceQuota team of the namespace shared: pods" in refusal(settings(), full)


def test_a_cluster_that_does_not_answer_is_the_business_of_others() -> None:
    nowhere = FakeApi({})
    with serving(nowhere):
        pass
    assert asyncio.run(looked(settings(), nowhere.kubeconfig)) == Findings()


def with_quota(*quotas: Object, pods: tuple[Object, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "GET /api/v1/namespaces/shared/resourcequotas": listed(*quotas),
        "GET /api/v1/namespaces/shared/limitranges": listed(),
        "GET /api/v1/namespaces/shared/pods": listed(*pods),
        "GET /api/v1/namespaces/shared/services": listed(),
        "GET /api/v1/namespaces/shared/persistentvolumeclaims": listed(),
        **more,
    }


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


def test_a_limit_that_the_namespace_gives_to_containers_is_counted_as_theirs() -> None:
    of_containers = {"spec": {"limits": [{"type": "Container", "default": {"cpu": "500m"}}]}}
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


def test_the_api_server_s_own_words_on_pods_are_told_once_with_what_leads_on() -> None:
    def judged(_: object, pod: Object) -> Said:
        assert pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "nginx-tracing"
        name = pod["metadata"]["generateName"]
        reason = "maximum memory usage per Container is 1Gi, but limit is 2000Mi"
        return refused(403, f'pods "{name}x1" is forbidden: {reason}') if name == "tempo-" else (201, {"kind": "Pod"})

    assert refusal(settings(), {"POST /api/v1/namespaces/shared/pods": judged}) == (
        "  pods of tempo in the namespace shared\n"
        "    are refused: maximum memory usage per Container is 1Gi, but limit is 2000Mi\n"
        "    kubectl --namespace shared describe limitrange\n"
        "    pulumi config set --path tempo.resources.memoryLimit 1Gi"
    )


@pytest.mark.parametrize(
    ("reason", "commands"),
    [
        # The API server does not name the container. The program finds those that the bound refuses.
        (
            "minimum cpu usage per Container is 50m, but request is 10m",
            ["pulumi config set --path tempo.gateway.resources.cpu 50m"],
        ),
        (
            "[minimum memory usage per Container is 100Mi, but request is 16Mi, "
            "maximum memory usage per Container is 1Gi, but limit is 2000Mi]",
            [
                "pulumi config set --path tempo.gateway.resources.memory 100Mi",
                "pulumi config set --path tempo.resources.memoryLimit 1Gi",
            ],
        ),
        (
            "maximum cpu usage per Container is 2. No limit is specified",
            [
                "pulumi config set --path tempo.resources.cpuLimit 2",
                "pulumi config set --path tempo.gateway.resources.cpuLimit 2",
            ],
        ),
    ],
)
def test_a_bound_of_a_container_is_followed_by_commands_for_those_that_it_refuses(
    reason: str, commands: list[str]
) -> None:
    def judged(_: object, pod: Object) -> Said:
        name = pod["metadata"]["generateName"]
        return refused(403, f'pods "{name}x1" is forbidden: {reason}') if name == "tempo-" else (201, {"kind": "Pod"})

    said = refusal(settings(), {"POST /api/v1/namespaces/shared/pods": judged}).splitlines()
    assert [line.strip() for line in said[3:]] == commands


def test_the_pods_that_are_tried_have_the_containers_of_the_stack_s() -> None:
    tried: dict[str, Object] = {}

    def judged(_: object, pod: Object) -> Said:
        tried[pod["metadata"]["generateName"]] = pod["spec"]
        return 201, {"kind": "Pod"}

    given = settings(nginx={"routes": [{"path": "/", "upstream": {"service": "shop", "port": 80}}]})
    checked(given, **{"POST /api/v1/namespaces/shared/pods": judged})
    tempo, gateway = tried["tempo-"]["containers"]
    assert (tempo["image"], gateway["image"]) == (given.tempo.image, given.nginx.image)
    assert gateway["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}
    (resolve,) = tried["nginx-"]["initContainers"]
    assert (resolve["name"], resolve["resources"]) == ("resolve", tried["nginx-"]["containers"][0]["resources"])


def test_openshift_s_refusal_of_the_user_names_the_key_that_leaves_it_to_the_cluster() -> None:
    words = "unable to validate against any security context constraint: [provider restricted-v2: .runAsUser: 10001]"
    said = refusal(settings(), {"POST /api/v1/namespaces/shared/pods": refused(403, f'pods "x" is forbidden: {words}')})
    assert said.startswith(
        "  pods of nginx and otel-collector and tempo in the namespace shared\n    are refused: unable"
    )
    assert said.endswith("\n    pulumi config set podUser cluster")


def test_a_namespace_that_openshift_assigns_users_to_is_warned_of(warnings: list[str]) -> None:
    annotated = {
        "GET /api/v1/namespaces/shared": namespace(annotations={"openshift.io/sa.scc.uid-range": "1000670000/10000"})
    }
    checked(settings(), **annotated)
    (said,) = warnings
    assert said.endswith("pulumi config set podUser cluster")
    warnings.clear()
    checked(settings(podUser="cluster"), **annotated)
    assert warnings == []


@pytest.mark.parametrize(
    "words",
    [
        'pods is forbidden: User "me" cannot create resource "pods" in API group "" in the namespace "shared"',
        'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=3, limited: pods=3',
        'pods "x" is forbidden: error looking up service account shared/default: serviceaccount "default" not found',
        'admission webhook "a.example" does not support dry run',
    ],
)
def test_a_refusal_that_says_nothing_of_the_pods_is_not_told(words: str) -> None:
    checked(settings(), **{"POST /api/v1/namespaces/shared/pods": refused(403, words)})


def test_a_policy_of_the_cluster_s_own_is_warned_of_since_it_did_not_see_the_pod_itself(warnings: list[str]) -> None:
    words = 'admission webhook "validate.kyverno.svc-fail" denied the request: require-probes: …'
    checked(settings(), **{"POST /api/v1/namespaces/shared/pods": refused(400, words)})
    assert warnings == [
        f"the cluster may refuse pods of {component} in shared: {words}"
        for component in ("nginx", "otel-collector", "tempo")
    ]


PORTS: dict[str, Any] = {"nginx": {"nodePort": 30080}, "tempo": {"nodePort": 40000}}
RANGE = (
    'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 40000: provided port is not in the valid range. '
)
TAKEN = 'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated'


def of_ports(query: dict[str, list[str]], tried: Object) -> Said:
    # An API server that took the Service would keep it, and a dry run does not tell the range.
    assert (tried["spec"]["sessionAffinity"], query) == ("Preflight", {})
    (port,) = tried["spec"]["ports"]
    if port["nodePort"] == 40000:
        return refused(422, f"{RANGE}The range of valid ports is 30000-32767")
    return refused(422, TAKEN)


def test_both_ports_are_judged_at_once_by_holder_and_by_the_range_that_the_api_server_tells() -> None:
    answers = {
        "POST /api/v1/namespaces/shared/services": of_ports,
        "GET /api/v1/services": listed(service("shop", "web", 30080)),
    }
    assert refusal(settings(**PORTS), answers) == (
        "  nginx-tracing:nginx.nodePort = 30080\n"
        "    is held by the Service shop in the namespace web\n"
        "    kubectl --namespace web get service shop\n"
        "    pulumi config rm --path nginx.nodePort, and the cluster chooses one\n"
        "\n"
        "  nginx-tracing:tempo.nodePort = 40000\n"
        "    is not among the ports that this cluster gives, which are 30000-32767\n"
        "    pulumi config rm --path tempo.nodePort, and the cluster chooses one"
    )


def test_a_port_that_is_free_is_let_pass_without_a_word(warnings: list[str]) -> None:
    checked(settings(nginx={"nodePort": 30080}))
    assert warnings == []


def test_a_port_that_the_stack_s_own_service_holds_is_its_own() -> None:
    own = service("nginx", "shared", 30080, {**OWN, "app.kubernetes.io/name": "nginx"})
    answers = {"POST /api/v1/namespaces/shared/services": of_ports, "GET /api/v1/services": listed(own)}
    checked(settings(nginx={"nodePort": 30080}), **answers)


def test_a_service_of_that_name_which_is_not_the_stack_s_is_another() -> None:
    answers = {
        "POST /api/v1/namespaces/shared/services": of_ports,
        "GET /api/v1/services": listed(service("nginx", "shared", 30080)),
    }
    assert "is held by the Service nginx in the namespace shared\n" in refusal(
        settings(nginx={"nodePort": 30080}), answers
    )


def test_a_port_for_a_load_balancer_s_health_is_held_as_well() -> None:
    balancer = service("edge", "web", 31000, healthCheckNodePort=30080)
    answers = {"POST /api/v1/namespaces/shared/services": of_ports, "GET /api/v1/services": listed(balancer)}
    assert "is held by the Service edge in the namespace web" in refusal(settings(nginx={"nodePort": 30080}), answers)


def test_before_the_namespace_is_there_the_port_is_tried_in_default() -> None:
    answers: dict[str, Any] = {
        "GET /api/v1/namespaces/shared": missing("shared"),
        "POST /api/v1/namespaces/shared/services": missing("shared"),
        "POST /api/v1/namespaces/default/services": of_ports,
        "GET /api/v1/services": refused(403, "services is forbidden"),
    }
    said = refusal(settings(createNamespace=True, nginx={"nodePort": 30080}), answers)
    assert "    is held by another Service\n    kubectl get services --all-namespaces | grep 30080\n" in said


def test_a_port_that_may_not_be_tried_is_warned_of(warnings: list[str]) -> None:
    forbidden = refused(403, 'services is forbidden: User "me" cannot create resource "services"')
    checked(settings(nginx={"nodePort": 30080}), **{"POST /api/v1/namespaces/shared/services": forbidden})
    (said,) = warnings
    assert said.startswith("the program could not check that these NodePorts are free: nginx.nodePort = 30080 (")


SLICES = "GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


@pytest.mark.parametrize(("port", "found"), [(16443, (16443,)), (6443, ()), (443, ())])
def test_the_port_of_the_api_server_s_endpoints_is_found(port: int, found: tuple[int, ...]) -> None:
    given = settings(collector={"distribution": "k8s", "kubernetesAttributes": True})
    findings, _ = checked(given, **{SLICES: listed({"ports": [{"name": "https", "port": port}]})})
    assert findings.api_ports == found


def test_where_the_endpoints_may_not_be_read_the_key_is_named_and_with_it_nothing_is_asked(
    warnings: list[str],
) -> None:
    collector: dict[str, Any] = {"distribution": "k8s", "kubernetesAttributes": True}
    checked(settings(collector=collector), **{SLICES: refused(403, "endpointslices is forbidden")})
    (said,) = warnings
    assert said.endswith("pulumi config set --path collector.kubernetesApiPort <port>")
    _, api = checked(settings(collector={**collector, "kubernetesApiPort": 16443}))
    assert not any("endpointslices" in request for request in api.asked)

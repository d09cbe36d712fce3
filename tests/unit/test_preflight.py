"""Tests of the errors about a cluster that would refuse the stack."""

import asyncio
from typing import Any

import pytest

from components.cluster.findings import Findings
from tests.unit.fake_api import FakeApi, Object, Said, listed, missing, refused, serving
from tests.unit.fake_cluster import OWN, checked, looked, namespace, quota, refusal, settings, with_quota


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
    assert (tempo["image"], gateway["image"]) == (given.tempo.pulled_image, given.nginx.pulled_image)
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


SLICES = "GET /apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


@pytest.mark.parametrize(("port", "found"), [(16443, (16443,)), (6443, ()), (443, ())])
def test_the_port_of_the_api_server_s_endpoints_is_found(port: int, found: tuple[int, ...]) -> None:
    given = settings(collector={"distribution": "k8s", "kubernetesAttributes": True})
    findings, _ = checked(given, **{SLICES: listed({"ports": [{"name": "https", "port": port}]})})
    assert findings.api_ports == found


def test_the_port_of_the_api_server_s_endpoints_is_found_for_prometheus() -> None:
    found = {SLICES: listed({"ports": [{"name": "https", "port": 16443}]})}
    findings, _ = checked(settings(prometheus={"enabled": True}), **found)
    assert findings.api_ports == (16443,)


def test_where_the_endpoints_may_not_be_read_the_key_is_named_and_with_it_nothing_is_asked(
    warnings: list[str],
) -> None:
    collector: dict[str, Any] = {"distribution": "k8s", "kubernetesAttributes": True}
    checked(settings(collector=collector), **{SLICES: refused(403, "endpointslices is forbidden")})
    (said,) = warnings
    assert said.endswith("pulumi config set --path collector.kubernetesApiPort <port>")
    _, api = checked(settings(collector={**collector, "kubernetesApiPort": 16443}))
    assert not any("endpointslices" in request for request in api.asked)

"""Tests of objects that exist under the stack's names: which the program accepts, and how it refuses the others."""

import asyncio
from itertools import pairwise
from typing import Any

import pulumi
import pytest

from components.cluster import api as cluster_api
from components.cluster import ownership
from components.cluster.survey import survey
from components.plan.objects import planned
from settings import Settings
from tests.unit.conftest import Program, Run
from tests.unit.fake_api import ApiOfObjects, Object, kubeconfig

OWN = {"annotations": {"nginx-tracing/stack": "nginx-tracing/test"}}
OTHER = {"annotations": {"nginx-tracing/stack": "nginx-tracing/prod"}}
PART_OF = {"labels": {"app.kubernetes.io/part-of": "nginx-tracing"}}
NAMESPACE = "/api/v1/namespaces/tracing"
APPS = "/apis/apps/v1/namespaces/tracing"


@pytest.fixture
def run(run_program: Run, api: ApiOfObjects) -> Run:
    """Runs the program with that API server and the real survey."""
    look = survey

    def start(configuration: dict[str, str] | None = None, **options: Any) -> Program:
        return run_program({"kubernetes:kubeconfig": api.kubeconfig, **(configuration or {})}, survey=look, **options)

    return start


def refusal(run: Run, configuration: dict[str, str] | None = None, state: Object | None = None) -> str:
    """Returns the error of an update, which is also the preview's. Neither registers anything."""
    said: set[str] = set()
    for preview in (True, False):
        program = Program(state=state if state is not None else {})
        with pytest.raises(pulumi.RunError) as error:
            run(configuration, preview=preview, program=program)
        assert program.resources == {}
        said.add(str(error.value))
    (text,) = said
    return text


def state(*uids: str) -> Object:
    """Returns the resources of a stack's state. Some of them are no Kubernetes objects."""
    objects = {f"urn:{uid}": {"outputs": {"metadata": {"name": "any", "uid": uid}}} for uid in uids}
    return {"urn:component": {"outputs": {}}, "urn:secret": {"outputs": {"metadata": "[secret]"}}, **objects}


def test_somebody_s_namespace_is_refused_with_what_it_holds_and_the_ways_on(run: Run, api: ApiOfObjects) -> None:
    owned = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-1"}]}
    api.objects = {
        NAMESPACE: {"managedFields": [{"manager": "kubectl-create"}, {"manager": "kubelet", "subresource": "status"}]},
        f"{APPS}/deployments/web": {},
        f"{NAMESPACE}/pods/web-1-abcde": owned,
        f"{NAMESPACE}/configmaps/settings": {},
        f"{NAMESPACE}/configmaps/kube-root-ca.crt": {},
        f"{NAMESPACE}/configmaps/openshift-service-ca.crt": {},
        f"{NAMESPACE}/configmaps/istio-ca-root-cert": {},
        f"{NAMESPACE}/secrets/default-token": {"annotations": {"kubernetes.io/service-account.name": "default"}},
    }
    assert refusal(run).splitlines() == [
        "1 object that this stack would make exists and is not its own; nothing was changed.",
        "",
        "  Namespace tracing",
        "    was written by kubectl-create",
        "    it holds: Deployment web; ConfigMap settings",
        "    kubectl get all --namespace tracing",
        "",
        "Leave it alone: give the stack another namespace.",
        "    pulumi config set namespace <name>",
        "",
        "Use the namespace as it is: the stack neither labels nor deletes it.",
        "    pulumi config set createNamespace false",
        "",
        "Give it to this stack, which then changes it and, at `pulumi destroy`, deletes the namespace with everything "
        "in it.",
        "    kubectl annotate --overwrite --namespace tracing namespace/tracing nginx-tracing/stack=nginx-tracing/test",
        "    PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up",
    ]


def test_an_empty_namespace_that_somebody_made_is_refused_as_well(run: Run, api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: {}}
    assert "    has no mark of an owner\n    it holds: nothing\n" in refusal(run)


def test_everything_that_is_somebody_else_s_is_named_at_once_with_its_owner(run: Run, api: ApiOfObjects) -> None:
    api.objects = {
        NAMESPACE: OWN,
        f"{APPS}/deployments/nginx": {
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "web"},
            "managedFields": [{"manager": "helm"}, {"manager": "helm"}, {"manager": "kubectl"}],
        },
        f"{NAMESPACE}/services/tempo": OTHER,
        f"{NAMESPACE}/services/nginx": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/Service:shop/nginx"}},
        f"{NAMESPACE}/services/otel-collector": {
            "ownerReferences": [{"kind": "OpenTelemetryCollector", "name": "otel"}],
        },
        f"{APPS}/deployments/tempo": PART_OF,
        "/apis/policy/v1/namespaces/tracing/poddisruptionbudgets/nginx": {
            "labels": {"kustomize.toolkit.fluxcd.io/name": "policies"}
        },
        "/apis/autoscaling/v2/namespaces/tracing/horizontalpodautoscalers/nginx": {
            "managedFields": [{"manager": "pulumi-kubernetes-0a1b2c3d"}]
        },
    }
    said = refusal(run, {"nginx": '{"autoscaling": {"maxReplicas": 3}}', "kubernetes:context": "only"}).splitlines()
    assert said[0] == "7 objects that this stack would make exist and are not its own; nothing was changed."
    described = dict(pairwise(said))
    owners = {line.strip(): described[line].strip() for line in said if " in the namespace tracing" in line}
    assert owners == {
        "Deployment nginx in the namespace tracing": "belongs to the Helm release web; was written by helm, kubectl",
        "Service tempo in the namespace tracing": "belongs to the stack nginx-tracing/prod of this program",
        "Service nginx in the namespace tracing": "belongs to Argo CD: shop:/Service:shop/nginx",
        "Service otel-collector in the namespace tracing": "belongs to OpenTelemetryCollector otel",
        "Deployment tempo in the namespace tracing": "has the label of nginx-tracing, and no stack's mark: the version "
        "before set none",
        "PodDisruptionBudget nginx in the namespace tracing": "belongs to the Flux Kustomization policies",
        "HorizontalPodAutoscaler nginx in the namespace tracing": "was written by pulumi-kubernetes-0a1b2c3d",
    }
    assert "    kubectl get deployment.apps/nginx --namespace tracing --output yaml --context only" in said
    assert "createNamespace" not in str(said)
    every = (
        "service/tempo deployment.apps/tempo service/otel-collector service/nginx deployment.apps/nginx "
        "horizontalpodautoscaler.autoscaling/nginx poddisruptionbudget.policy/nginx"
    )
    # A tool would miss its objects, or make them again.
    unmanaged = "deployment.apps/tempo horizontalpodautoscaler.autoscaling/nginx"
    assert f"    kubectl delete --namespace tracing {unmanaged} --context only" in said
    mark = "nginx-tracing/stack=nginx-tracing/test"
    assert f"    kubectl annotate --overwrite --namespace tracing {every} {mark} --context only" in said


def test_what_a_killed_update_left_with_the_stack_s_mark_is_taken_up_again(run: Run, api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: OWN, f"{NAMESPACE}/services/nginx": OWN, f"{APPS}/deployments/nginx": OWN}
    # The marks are enough: the program does not read the stack's state.
    assert run().resources


def test_what_the_version_before_deployed_has_no_mark_and_is_known_by_the_state(run: Run, api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: PART_OF, f"{NAMESPACE}/services/nginx": PART_OF, f"{APPS}/deployments/nginx": OWN}
    mine = [f"uid-of-{path}" for path in api.objects]
    assert run(program=Program(state=state(*mine))).resources
    # Somebody deleted the Service and made another one of that name, which has another UID.
    assert "Service nginx in the namespace" in refusal(run, state=state(mine[0], "uid-of-the-one-before"))


def test_another_stack_s_object_that_the_state_knows_may_be_this_stack_s_under_its_old_name(
    run: Run, api: ApiOfObjects
) -> None:
    api.objects = {NAMESPACE: OTHER}
    renamed = "If the stack or its project was renamed"
    assert renamed in refusal(run, state=state(f"uid-of-{NAMESPACE}"))
    assert renamed not in refusal(run)


def test_a_state_that_cannot_be_read_is_said_beside_what_it_might_have_known(run: Run, api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: PART_OF}
    with pytest.raises(pulumi.RunError) as error:
        run(program=Program(state="no backend client is available"))
    assert "The program could not read the stack's own state: " in str(error.value)
    assert "no backend client is available" in str(error.value)
    assert "Namespace tracing" in str(error.value)


PERSISTENT = {
    "tempo": '{"persistence": {"size": "1Gi"}}',
    "collector": '{"distribution": "contrib", "replicas": 2, "queue": {"storage": "persistent"}}',
}


def test_somebody_s_claims_that_replicas_would_take_by_name_are_refused(run: Run, api: ApiOfObjects) -> None:
    claims = f"{NAMESPACE}/persistentvolumeclaims"
    api.objects = {
        NAMESPACE: OWN,
        f"{claims}/data-tempo-0": {"labels": {"app": "tempo"}},
        f"{claims}/queue-otel-collector-0": PART_OF,
        f"{claims}/queue-otel-collector-1": {},
        f"{claims}/queue-otel-collector-2": {},
    }
    said = refusal(run, PERSISTENT)
    named = [line.split()[1] for line in said.splitlines() if line.startswith("  PersistentVolumeClaim")]
    assert named == ["data-tempo-0", "queue-otel-collector-1"]
    # The command that gives a claim to the stack is enough.
    for name in named:
        api.objects[f"{claims}/{name}"] |= OWN
    assert run(PERSISTENT).resources


def test_a_namespace_that_is_being_deleted_is_waited_for_whosever_it_is(api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: {**OWN, "deletionTimestamp": "2026-11-01T12:00:00Z"}}

    async def check() -> None:
        async with cluster_api.Api(api.kubeconfig, None) as client:
            await ownership.check_ownership(planned(Settings()), "tracing", client, context=None)

    with pytest.raises(pulumi.RunError) as error:
        asyncio.run(check())
    assert str(error.value) == (
        "the namespace tracing has been terminating since 2026-11-01T12:00:00Z; nothing was changed.\n"
        "  Wait until it is gone: kubectl wait --for=delete namespace/tracing --timeout=5m"
    )


def test_kinds_that_may_not_be_read_are_named_by_a_preview_and_stop_an_update(
    run: Run, api: ApiOfObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    api.objects = {NAMESPACE: OWN}
    api.refused = {f"{APPS}/deployments/*": 403}
    assert run(preview=True).resources
    (said,) = warnings
    assert said.splitlines() == [
        "the API server does not tell whether these exist already, as somebody else's:",
        "  Deployment tempo, otel-collector, nginx: 403: deployments is forbidden",
        "An update needs the right to get them. This tells who has it:",
        "  kubectl auth can-i get deployments.apps --namespace tracing",
    ]
    program = Program()
    with pytest.raises(pulumi.RunError) as error:
        run(program=program)
    assert str(error.value) == f"{said}\nNothing was changed."
    assert program.resources == {}


def test_a_namespace_that_may_not_be_read_does_not_hide_what_is_in_it(run: Run, api: ApiOfObjects) -> None:
    api.objects = {f"{NAMESPACE}/services/tempo": {}}
    api.refused = {NAMESPACE: 403}
    assert "  Service tempo in the namespace tracing" in refusal(run)
    api.objects = {}
    with pytest.raises(pulumi.RunError, match="Namespace tracing: 403: namespaces is forbidden"):
        run()


def test_without_a_cluster_a_preview_goes_on_and_an_update_stops_though_it_needs_no_node(
    run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    nowhere = {"kubernetes:kubeconfig": kubeconfig(), "nodeAddress": "192.0.2.9"}
    look = survey
    assert run_program(nowhere, survey=look, preview=True).resources
    program = Program()
    with pytest.raises(pulumi.RunError, match=r"no cluster can be reached, and nothing was created: .*refused"):
        run_program(nowhere, survey=look, program=program)
    assert program.resources == {}


def test_a_kubeconfig_that_cannot_be_used_is_said_by_a_preview_and_stops_an_update(
    run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    broken = {"kubernetes:kubeconfig": kubeconfig("https://10.0.0.1:64x43"), "nodeAddress": "192.0.2.9"}
    look = survey
    assert run_program(broken, survey=look, preview=True).resources
    (said,) = warnings
    assert said.startswith(
        "the program did not check whether other people's objects have the names that the stack uses: "
    )
    with pytest.raises(pulumi.RunError, match=r"Nothing was changed. Give a kubeconfig with a token"):
        run_program(broken, survey=look)

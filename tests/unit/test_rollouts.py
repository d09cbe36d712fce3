"""Tests of the messages about pods that do not become Ready: once for each reason, and never with a secret."""

import asyncio
import time
from typing import Any

import pulumi
import pytest
from pulumi import resource_hooks
from pydantic import SecretStr

from components.cluster import rollouts
from components.cluster.container_logs import secrets_of
from components.cluster.rollouts import Rollouts
from settings import Settings
from tests.unit.fake_api import FakeApi, Object, Said, listed, serving
from tests.waiting import wait_for

PODS = "GET /api/v1/namespaces/tracing/pods"
SETS = "GET /apis/apps/v1/namespaces/tracing/replicasets"
STATEFUL_SET = "GET /apis/apps/v1/namespaces/tracing/statefulsets/nginx"
EVENTS = "GET /api/v1/namespaces/tracing/events"
LOG = "GET /api/v1/namespaces/tracing/pods/nginx-1/log"
EMERG = '2026/11/26 04:00:00 [emerg] 1#1: "listen" directive is duplicate in /etc/nginx/nginx.conf:58'
CRASHES = {
    "name": "nginx",
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
}
TIMED_OUT = "the Kubernetes API server reported that it failed: 'nginx' timed out waiting to be Ready"


def labels(component: str, of_set: str | None = None) -> dict[str, str]:
    own = {"app.kubernetes.io/name": component, "app.kubernetes.io/part-of": "nginx-tracing"}
    return own | ({"pod-template-hash": of_set} if of_set else {})


def pod(
    *containers: Object, conditions: tuple[Object, ...] = (), of_set: str | None = None, name: str = "nginx-1"
) -> Object:
    status = {"containerStatuses": list(containers), "conditions": list(conditions)}
    return {"metadata": {"name": name, "labels": labels("nginx", of_set)}, "status": status}


def replica_set(of_set: str, revision: int, *conditions: Object) -> Object:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    metadata = {"name": f"nginx-{of_set}", "labels": labels("nginx", of_set), "annotations": annotations}
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


class Told:
    """Calls the hook of NGINX's workload, keeps its errors, and returns whether the provider shall wait again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        monkeypatch.setattr(pulumi.log, "error", self.said.append)
        done: asyncio.Future[None] = asyncio.get_event_loop().create_future()

        def registered(_: object) -> asyncio.Future[None]:
            return done

        monkeypatch.setattr(resource_hooks, "register_error_hook", registered)

    def __call__(  # noqa: D102
        self,
        answers: dict[str, Any],
        *,
        errors: tuple[str, ...] = (TIMED_OUT,),
        secrets: tuple[str, ...] = (),
        waits_again: bool = True,
    ) -> bool:
        with serving(FakeApi({SETS: listed(), EVENTS: listed(), **answers})) as api:
            watch = Rollouts("tracing", secrets, kubeconfig=api.kubeconfig, context=None, waits_again=waits_again)
            hook = watch.error_hook("nginx", "nginx")
            failed = pulumi.ErrorHookArgs("urn", "", "nginx", "t", failed_operation="create", errors=list(errors))
            answer: Any = hook(failed)
            return asyncio.run(answer)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_what_nginx_says_of_its_configuration_is_in_the_error_and_ends_the_wait(told: Told) -> None:
    log = f"/docker-entrypoint.sh: Configuration complete\n{EMERG}\nnginx: [alert] could not open error log file"
    assert told({PODS: listed(pod(CRASHES)), LOG: (200, log)}) is False
    assert told.said == [
        'nginx does not become Ready: [emerg] 1#1: "listen" directive is duplicate in /etc/nginx/nginx.conf:58\n'
        "  the pod nginx-1 ended with exit code 1 and was restarted 3 times; it said last:\n"
        '    [emerg] 1#1: "listen" directive is duplicate in /etc/nginx/nginx.conf:58\n'
        "    kubectl --namespace tracing logs nginx-1 --previous"
    ]


def test_a_name_that_may_come_later_is_waited_for_to_the_end(told: Told) -> None:
    log = '[emerg] 1#1: host not found in upstream "shop.web.svc" in /etc/nginx/nginx.conf:60'
    answers = {PODS: listed(pod(CRASHES)), LOG: (200, log)}
    assert told(answers) is True
    assert told(answers, errors=(TIMED_OUT, TIMED_OUT)) is True
    assert told.said == []
    assert told(answers, errors=(TIMED_OUT, TIMED_OUT, TIMED_OUT)) is False
    assert "host not found in upstream" in told.said[0]


def test_nothing_is_waited_for_again_that_did_not_time_out_or_cannot_be_created_again(told: Told) -> None:
    assert told({PODS: listed()}, errors=('Resource operation was cancelled for "nginx"',)) is False
    assert told({PODS: listed()}, waits_again=False) is False
    assert told({PODS: listed()}) is True


def test_no_secret_of_the_configuration_is_ever_shown(told: Told) -> None:
    log = '[emerg] 1#1: unknown directive "canary-token" after "Bearer canary-token" in /etc/nginx/exporter.conf:2'
    told({PODS: listed(pod(CRASHES)), LOG: (200, log)}, secrets=("Bearer canary-token",))
    assert "canary" not in told.said[0]
    assert 'unknown directive "[secret]" after "[secret]"' in told.said[0]


def test_every_secret_of_a_configuration_is_known() -> None:
    configured = {
        "registryUsername": "puller",
        "registryPassword": "one",
        "nginx": {"exporter": {"headers": {"a": "two"}}},
        "collector": {"exporters": {"vendor": {"endpoint": "v.example:4317", "headers": {"b": "three"}}}},
    }
    settings = Settings.model_validate(configured)
    assert isinstance(settings.registry_password, SecretStr)
    assert secrets_of(settings) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("container", "why"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x:1"'}},
            'a container of the pod nginx-1 does not start:\n    ImagePullBackOff: Back-off pulling image "x:1"',
        ),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "nginx-secrets" not found'}},
            'does not start:\n    CreateContainerConfigError: secret "nginx-secrets" not found',
        ),
        (
            {"running": {}},
            "the pod nginx-1 runs and does not answer its readiness probe; it said last:\n    waiting for a lock",
        ),
    ],
)
def test_each_way_of_not_starting_is_told(container: Object, why: str, told: Told) -> None:
    answers = {
        PODS: listed(pod({"name": "nginx", "restartCount": 0, "state": container})),
        LOG: (200, "waiting for a lock"),
    }
    told(answers, waits_again=False)
    assert why in told.said[0]


def test_a_container_that_ran_out_of_memory_is_told_so(told: Told) -> None:
    ended = CRASHES | {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    told({PODS: listed(pod(ended)), LOG: (200, "")}, waits_again=False)
    assert "OOMKilled: it needs more memory than its limit allows" in told.said[0]


def test_pods_that_are_not_even_created_are_told_with_the_api_server_s_words(told: Told) -> None:
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": 'pods "nginx-a-xyz" is forbidden: exceeded quota: team, requested: pods=1, used: pods=3',
    }
    told({PODS: listed(), SETS: listed(replica_set("a", 1, failed))}, waits_again=False)
    assert "its pods cannot be created:\n    exceeded quota: team, requested: pods=1" in told.said[0]


def test_of_a_stateful_set_the_events_of_the_last_minute_tell(told: Told) -> None:
    def event(name: str, seconds_ago: int) -> Object:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds_ago))
        message = f'create Pod {name}-0 in StatefulSet {name} failed error: pods "{name}-0" is forbidden: no room'
        return {"involvedObject": {"name": name}, "lastTimestamp": at, "message": message}

    told({PODS: listed(), EVENTS: listed(event("nginx", 1), event("theirs", 1))}, waits_again=False)
    assert told.said[0].count("its pods cannot be created:\n    no room") == 1
    told.said.clear()
    told({PODS: listed(), EVENTS: listed(event("nginx", 120))}, waits_again=False)
    assert told.said == []


def test_pods_of_before_an_edit_are_not_what_is_waited_for(told: Told) -> None:
    sets = listed(replica_set("new", 2), replica_set("old", 1))
    old, new = pod(CRASHES, of_set="old"), pod(CRASHES, of_set="new", name="nginx-2")
    answers = {SETS: sets, LOG: (200, "old"), LOG.replace("nginx-1", "nginx-2"): (200, "new")}
    told({**answers, PODS: listed(old)}, waits_again=False)
    assert told.said == []
    told({**answers, PODS: listed(old, new)}, waits_again=False)
    assert "    new\n" in told.said[0]
    assert "    old\n" not in told.said[0]


def test_a_reason_that_lasts_is_told_once_while_the_program_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setattr(rollouts, "FIRST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(rollouts, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(rollouts, "LIFETIME_SECONDS", 20.0)
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu."}
    looks = 0

    def pods(query: dict[str, list[str]], _: Object) -> Said:
        nonlocal looks
        looks += 1
        assert query["labelSelector"] == ["app.kubernetes.io/part-of=nginx-tracing"]
        return listed(pod(conditions=(waits,)))

    with serving(FakeApi({PODS: pods, SETS: listed(), EVENTS: listed()})) as api:
        Rollouts("tracing", [], kubeconfig=api.kubeconfig, context=None).start()
        wait_for("five looks", lambda: looks >= 5)
        monkeypatch.setattr(rollouts, "LIFETIME_SECONDS", 0.0)
    assert said == [
        "nginx is not Ready yet: Unschedulable: 1 Insufficient cpu.\n"
        "  the pod nginx-1 has no node:\n"
        "    Unschedulable: 1 Insufficient cpu.\n"
        "    kubectl --namespace tracing describe pod nginx-1"
    ]


class Replaced:
    """Waits for a StatefulSet of three pods; each look finds the next of its states, and at the end the last one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rollouts, "REPLACED_INTERVAL_SECONDS", 0.01)
        monkeypatch.setattr(rollouts, "ATTEMPT_SECONDS", 0.2)
        self.looks = 0

    def __call__(self, *states: Said, drain_seconds: int = 0, **answers: Any) -> object:  # noqa: D102
        def state(*_: object) -> Said:
            self.looks += 1
            return states[min(self.looks, len(states)) - 1]

        known: dict[str, Any] = {SETS: listed(), EVENTS: listed(), PODS: answers.get("pods", listed())}
        with serving(FakeApi({STATEFUL_SET: state, LOG: (200, EMERG), **known})) as api:
            watch = Rollouts("tracing", [], kubeconfig=api.kubeconfig, context=None)
            made: Any = object()
            assert asyncio.run(watch.replaced("nginx", made, drain_seconds=drain_seconds)) is made
        return made


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replaced:
    return Replaced(monkeypatch)


def stateful_set(updated: int, ready: int, *, seen: int = 2) -> Said:
    status = {"observedGeneration": seen, "replicas": 3, "updatedReplicas": updated, "readyReplicas": ready}
    return 200, {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status}


def test_a_stateful_set_is_waited_for_until_its_new_pods_are_ready(
    replaced: Replaced, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine, four looks may take longer than the attempts of the other tests.
    monkeypatch.setattr(rollouts, "ATTEMPT_SECONDS", 60.0)
    before_the_controller_looked = stateful_set(updated=3, ready=3, seen=1)
    replaced(before_the_controller_looked, stateful_set(0, 3), stateful_set(3, 2), stateful_set(3, 3))
    assert replaced.looks == 4


def test_a_stateful_set_without_a_change_is_looked_at_once(replaced: Replaced) -> None:
    replaced(stateful_set(updated=3, ready=3))
    assert replaced.looks == 1


def test_pods_of_a_stateful_set_that_end_at_each_start_end_the_wait_with_the_reason(replaced: Replaced) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        replaced(stateful_set(updated=3, ready=2), pods=listed(pod(CRASHES)))
    assert str(raised.value).startswith('nginx does not become Ready: [emerg] 1#1: "listen" directive is duplicate')
    assert "kubectl --namespace tracing logs nginx-1 --previous" in str(raised.value)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (stateful_set(1, 2), "nginx does not become Ready: 1 of 3 pods are replaced, and 2 are Ready"),
        ((403, {"message": "you may not"}), "nginx is not known to be Ready: you may not"),
    ],
)
def test_a_stateful_set_without_progress_is_given_up_three_attempts_after_the_last(
    last: Said, why: str, replaced: Replaced
) -> None:
    begin = time.monotonic()
    with pytest.raises(pulumi.RunError) as raised:
        replaced(stateful_set(0, 3), last)
    assert str(raised.value) == why
    assert time.monotonic() - begin > 3 * 0.2


ENDS = {"metadata": {"name": "nginx-2", "labels": labels("nginx"), "deletionTimestamp": "2026-11-26T04:00:00Z"}}


def test_pods_that_send_what_they_hold_are_waited_for_longer_and_that_is_said(
    replaced: Replaced, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    monkeypatch.setattr(rollouts, "DRAIN_SECONDS", 0.1)
    begin = time.monotonic()
    with pytest.raises(pulumi.RunError):
        replaced(stateful_set(1, 2), drain_seconds=1, pods=listed(ENDS))
    assert time.monotonic() - begin > 3 * 0.2 + 1
    assert said == [
        "nginx: a pod that is replaced sends what it holds first, for at most 1 s. "
        "nginx does not become Ready: 1 of 3 pods are replaced, and 2 are Ready"
    ]


def test_pods_that_do_not_start_are_waited_for_no_longer_where_none_ends(
    replaced: Replaced, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    monkeypatch.setattr(rollouts, "DRAIN_SECONDS", 0.1)
    with pytest.raises(pulumi.RunError):
        replaced(stateful_set(1, 2), drain_seconds=10)
    # With a pause of 0.01 s after each, 0.6 s have room for no more than these.
    assert replaced.looks <= 61
    assert said == []


def test_the_pod_after_one_that_took_long_to_end_has_its_own_time_to_start(
    replaced: Replaced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "DRAIN_SECONDS", 0.1)
    # The pauses of 0.01 s between so many looks are longer than three attempts.
    last_with_it = 65

    def pods(*_: object) -> Said:
        return listed(ENDS) if replaced.looks <= last_with_it else listed()

    with pytest.raises(pulumi.RunError):
        replaced(stateful_set(1, 2), drain_seconds=600, pods=pods)
    assert replaced.looks > last_with_it + 1

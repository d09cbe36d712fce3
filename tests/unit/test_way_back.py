"""Tests of the refusal of Tempo 2 on the volume of a Tempo 3, and of the warning of a queue that is not read."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.way_back import check_way_back
from settings import Settings
from tests.unit.conftest import Run, Serve
from tests.unit.fake_api import NOWHERE, FakeApi, kubeconfig, refused

PATH = "/apis/apps/v1/namespaces/tracing/statefulsets/tempo"


def running(*images: str, names: Sequence[str] = ("gateway", "tempo")) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for name, image in zip(names, images, strict=True)]
    labels = {"app.kubernetes.io/part-of": "nginx-tracing"}
    spec = {"template": {"spec": {"containers": containers}}}
    return {"kind": "StatefulSet", "metadata": {"labels": labels}, "spec": spec}


def check(server: str, **tempo: Any) -> None:
    check_settings(server, tempo=tempo)


def check_settings(server: str, **configured: Any) -> None:
    async def ask() -> None:
        async with Api(server, None) as api:
            await check_way_back(Settings.model_validate(configured), api, context="prod")

    asyncio.run(ask())


def test_tempo_2_does_not_get_the_volume_of_a_tempo_3(serve: Serve) -> None:
    server = serve(FakeApi({f"GET {PATH}": (200, running("nginx:1.30.7-otel", "mirror.example/grafana/tempo:3.0.3"))}))
    with pytest.raises(pulumi.RunError) as refusal:
        check(server.kubeconfig, persistence={"size": "10Gi"})
    assert str(refusal.value) == (
        "mirror.example/grafana/tempo:3.0.3 runs in the namespace tracing, and grafana/tempo:2.10.8 would get its "
        "volume; nothing was changed. Tempo 3's blocks and document have no way back: Tempo 2 would not read the "
        "traces.\n"
        "  Keep Tempo 3: pulumi config set --path tempo.image mirror.example/grafana/tempo:3.0.3\n"
        "  Or give the traces up: pulumi config rm --path tempo.persistence && pulumi up, then kubectl delete "
        "persistentvolumeclaim/data-tempo-0 --namespace tracing --context prod, and set tempo.persistence again"
    )


@pytest.mark.parametrize(
    ("answer", "tempo"),
    [
        ((200, running("nginx:1.30.7-otel", "grafana/tempo:2.7.2")), {"persistence": {"size": "10Gi"}}),
        ((200, running("nginx:1.30.7-otel", "grafana/tempo:3.0.3")), {}),
        (
            (200, running("nginx:1.30.7-otel", "grafana/tempo:3.0.3")),
            {"persistence": {"size": "10Gi"}, "image": "grafana/tempo:3.0.4"},
        ),
        (refused(404, "not found"), {"persistence": {"size": "10Gi"}}),
        (refused(403, "forbidden"), {"persistence": {"size": "10Gi"}}),
    ],
)
def test_every_other_change_of_tempo_s_version_is_taken(answer: Any, tempo: dict[str, Any], serve: Serve) -> None:
    check(serve(FakeApi({f"GET {PATH}": answer})).kubeconfig, **tempo)


def test_the_program_asks_before_it_registers_anything(run_program: Run) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise pulumi.RunError("no way back")

    with pytest.raises(pulumi.RunError, match="no way back"):
        run_program(way_back=refuse)


def test_a_cluster_that_does_not_answer_is_the_business_of_other_checks() -> None:
    check(kubeconfig(NOWHERE), persistence={"size": "10Gi"})


COLLECTORS = "/apis/apps/v1/namespaces/tracing/statefulsets/otel-collector"
NEWER, OLDER = (f"otel/opentelemetry-collector-k8s:{version}" for version in ("0.160.0", "0.126.0"))


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        (NEWER, OLDER, True),
        (OLDER, NEWER, False),
        (NEWER, NEWER, False),
    ],
)
def test_the_way_back_of_a_collector_with_a_persistent_queue_is_warned_of(
    before: str, after: str, warned: bool, serve: Serve, warnings: list[str]
) -> None:
    server = serve(FakeApi({f"GET {COLLECTORS}": stateful_set_of(before)})).kubeconfig
    check_settings(server, collector={"image": after, "distribution": "k8s", "queue": {"storage": "persistent"}})
    assert warnings == warned * [
        f"collector.image: {OLDER} will not send what {NEWER} leaves in its persistent queue. Change this "
        "image alone, so that Tempo takes spans meanwhile, while `otelcol_exporter_queue_size` is 0. The next way up "
        "needs the same"
    ]


DECIDERS = f"{COLLECTORS}-decider"
TIERS: dict[str, Any] = {
    "distribution": "k8s",
    "replicas": 2,
    "queue": {"storage": "persistent"},
    "sampling": {"tail": {}},
}


def stateful_set_of(image: str) -> tuple[int, Any]:
    """Returns the API server's answer about a StatefulSet of Collectors."""
    return 200, running(image, names=["otel-collector"])


def ends(component: str) -> str:
    """Returns the warning of volumes that are left behind."""
    return (
        f"collector: the StatefulSet {component} ends, because this configuration has none. What its pods cannot send "
        "before they end stays on their volumes, and no other pod sends it. Make this change while "
        "`otelcol_exporter_queue_size` is 0; `python -m tools drift` names the volumes that are left"
    )


@pytest.mark.parametrize(
    ("collector", "left"),
    [
        pytest.param(TIERS, "otel-collector", id="the first of two tiers has no volumes"),
        pytest.param({"queue": {"storage": "persistent"}}, "otel-collector-decider", id="one tier again"),
        pytest.param({}, "otel-collector", id="in memory"),
        pytest.param(TIERS | {"queue": {"storage": "memory"}}, "otel-collector-decider", id="deciders in memory"),
        pytest.param({"enabled": False}, "otel-collector", id="another Collector"),
    ],
)
def test_volumes_that_are_left_behind_are_warned_of(
    collector: dict[str, Any], left: str, serve: Serve, warnings: list[str]
) -> None:
    path = f"GET {COLLECTORS.removesuffix('otel-collector')}{left}"
    check_settings(serve(FakeApi({path: stateful_set_of(NEWER)})).kubeconfig, collector=collector)
    assert warnings == [ends(left)]


def test_a_stateful_set_that_is_no_stack_s_is_not_warned_of(serve: Serve, warnings: list[str]) -> None:
    code, foreign = stateful_set_of(NEWER)
    foreign["metadata"]["labels"] = {"app": "otel-collector"}
    check_settings(serve(FakeApi({f"GET {COLLECTORS}": (code, foreign)})).kubeconfig, collector={"enabled": False})
    assert warnings == []


@pytest.mark.parametrize(("before", "after", "warned"), [(NEWER, OLDER, 1), (NEWER, NEWER, 0)])
def test_the_way_back_of_deciders_is_that_of_a_collector(
    before: str, after: str, warned: int, serve: Serve, warnings: list[str]
) -> None:
    found: dict[str, Any] = {f"GET {DECIDERS}": stateful_set_of(before)}
    check_settings(serve(FakeApi(found)).kubeconfig, collector=TIERS | {"image": after})
    assert len(warnings) == warned

"""Tests of the refusal of Tempo 2 on the volume of a Tempo 3, and of the warning of a queue that is not read."""

import asyncio
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.way_back import check_way_back
from settings import Settings
from tests.unit.conftest import Run, Serve
from tests.unit.fake_api import NOWHERE, FakeApi, kubeconfig, refused

PATH = "/apis/apps/v1/namespaces/tracing/statefulsets/tempo"


def running(*images: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for name, image in zip(("gateway", "tempo"), images, strict=True)]
    return {"kind": "StatefulSet", "spec": {"template": {"spec": {"containers": containers}}}}


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
    ("storage", "before", "after", "warned"),
    [
        ("persistent", NEWER, OLDER, True),
        ("persistent", OLDER, NEWER, False),
        ("persistent", NEWER, NEWER, False),
        ("memory", NEWER, OLDER, False),
    ],
)
def test_the_way_back_of_a_collector_with_a_persistent_queue_is_warned_of(  # noqa: PLR0917 - fixtures
    storage: str, before: str, after: str, warned: bool, serve: Serve, warnings: list[str]
) -> None:
    containers = [{"name": "otel-collector", "image": before}]
    found = {"kind": "StatefulSet", "spec": {"template": {"spec": {"containers": containers}}}}
    server = serve(FakeApi({f"GET {COLLECTORS}": (200, found)})).kubeconfig
    check_settings(server, collector={"image": after, "distribution": "k8s", "queue": {"storage": storage}})
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
    containers = [{"name": "otel-collector", "image": image}]
    return 200, {"kind": "StatefulSet", "spec": {"template": {"spec": {"containers": containers}}}}


def test_a_collector_whose_volume_is_left_behind_by_two_tiers_is_warned_of(serve: Serve, warnings: list[str]) -> None:
    found: dict[str, Any] = {f"GET {COLLECTORS}": stateful_set_of(NEWER), f"GET {DECIDERS}": refused(404, "not found")}
    check_settings(serve(FakeApi(found)).kubeconfig, collector=TIERS | {"image": NEWER})
    assert warnings == [
        "collector.sampling.tail: the StatefulSet otel-collector becomes a Deployment, and the volumes of "
        "otel-collector-decider begin empty. Spans that wait in the old volumes are not sent. Make this change while "
        "`otelcol_exporter_queue_size` is 0; `python -m tools drift` names the volumes that are left"
    ]


@pytest.mark.parametrize(("before", "after", "warned"), [(NEWER, OLDER, 1), (NEWER, NEWER, 0)])
def test_the_way_back_of_deciders_is_that_of_a_collector(
    before: str, after: str, warned: int, serve: Serve, warnings: list[str]
) -> None:
    found: dict[str, Any] = {f"GET {DECIDERS}": stateful_set_of(before)}
    check_settings(serve(FakeApi(found)).kubeconfig, collector=TIERS | {"image": after})
    assert len(warnings) == warned

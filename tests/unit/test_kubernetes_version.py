"""Tests of the line about the version of the cluster's Kubernetes."""

import asyncio
import datetime
from typing import Any

import pulumi
import pytest

from components.cluster import api as cluster_api
from components.cluster import server_version
from components.cluster.checks import ask_cluster
from components.cluster.server_version import warn_of_kubernetes
from settings import Settings
from settings.version_warnings import kubernetes_warning
from tests.unit.conftest import TODAY, Serve
from tests.unit.fake_api import FakeApi, Said, kubeconfig, refused

END = (
    "the cluster runs Kubernetes 1.32, which has had no security fixes since 2026-02-28, unless its vendor goes on "
    "with them. Kubernetes maintains 1.35, 1.36, 1.37; upgrade to 1.33 next"
)


async def asked(api: FakeApi, settings: Settings | None = None) -> None:
    async with cluster_api.Api(api.kubeconfig, None) as client:
        await warn_of_kubernetes(settings or Settings(), client)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, {"major": "1", "minor": "32"}), [END]),
        ((200, {"major": "1", "minor": "32+", "gitVersion": "v1.32.9-eks-3abbec1"}), [END]),
        ((200, {"major": "1", "minor": "36"}), []),
        ((200, {"major": "", "minor": ""}), []),
        ((200, "<html>log in</html>"), []),
        (refused(403, "forbidden"), []),
    ],
)
def test_the_api_server_s_version_is_read_and_told_once_if_its_day_has_passed(
    answer: Said, said: list[str], serve: Serve, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_version, "today", lambda: TODAY)
    api = serve(FakeApi({"GET /version": answer}))
    asyncio.run(asked(api))
    assert warnings == said
    assert api.asked == ["GET /version"]


def test_an_api_server_that_does_not_answer_is_told_of_by_others(warnings: list[str]) -> None:
    asyncio.run(asked(FakeApi(kubeconfig=kubeconfig())))
    assert warnings == []


@pytest.mark.parametrize(
    ("version", "day", "said"),
    [
        ((1, 37), TODAY, None),
        (
            (1, 29),
            TODAY,
            "the cluster runs Kubernetes 1.29, which is older than 1.30, the oldest that this program is for. "
            "Kubernetes maintains 1.35, 1.36, 1.37; upgrade to 1.30 next",
        ),
        (
            (1, 38),
            TODAY,
            "the cluster runs Kubernetes 1.38, which is newer than the versions that this program knows, 1.30 to 1.37. "
            "Check after `pulumi up`: python -m tools probe",
        ),
        (
            (1, 37),
            datetime.date(2027, 10, 29),
            "the cluster runs Kubernetes 1.37, which has had no security fixes since 2027-10-28, unless its vendor "
            "goes on with them. A newer nginx-tracing knows which versions Kubernetes maintains",
        ),
    ],
)
def test_the_line_names_the_versions_that_are_maintained_and_the_next_one(
    version: tuple[int, int], day: datetime.date, said: str | None
) -> None:
    assert kubernetes_warning(version, day) == said


PLACE = "collector.trafficDistribution"
CLOSE, NODE = ({"collector": {"trafficDistribution": value}} for value in ("PreferClose", "PreferSameNode"))


@pytest.mark.parametrize(
    ("minor", "configured", "said"),
    [
        (30, {}, None),
        (
            30,
            CLOSE,
            f"{PLACE}: the cluster runs Kubernetes 1.30, which drops PreferClose without an error, so that connections "
            f"go to any Collector: it is on by default from 1.31 on. To leave it out: pulumi config rm --path {PLACE}",
        ),
        (31, CLOSE, None),
        (
            30,
            NODE,
            f"{PLACE}: the cluster runs Kubernetes 1.30, which drops PreferSameNode without an error, so that "
            "connections go to any Collector: it is on by default from 1.34 on. To leave it out: pulumi config rm "
            f"--path {PLACE}",
        ),
        (
            33,
            NODE,
            f"{PLACE}: the cluster runs Kubernetes 1.33, which refuses PreferSameNode: it is on by default from 1.34 "
            f"on. For the same zone: pulumi config set --path {PLACE} PreferClose",
        ),
        (34, NODE, None),
    ],
)
def test_a_cluster_that_cannot_send_to_near_collectors_is_told_of(
    minor: int, configured: dict[str, Any], said: str | None, serve: Serve, warnings: list[str]
) -> None:
    api = serve(FakeApi({"GET /version": (200, {"major": "1", "minor": str(minor)})}))
    asyncio.run(asked(api, Settings.model_validate(configured)))
    assert [line for line in warnings if "trafficDistribution" in line] == ([said] if said else [])


def test_the_checks_of_a_cluster_ask_for_its_version(serve: Serve) -> None:
    api = serve(FakeApi())
    with pytest.raises(pulumi.RunError):
        asyncio.run(ask_cluster(Settings(), kubeconfig=api.kubeconfig, context=None))
    assert api.asked.count("GET /version") == 1

"""Tests of the warning that a changed `tempo.storage` hides the traces that are where they were."""

import asyncio
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.checks import ask_cluster
from components.cluster.trace_storage import warn_of_hidden_traces
from settings import Settings
from tests import golden
from tests.unit.conftest import Serve
from tests.unit.fake_api import NOWHERE, FakeApi, kubeconfig, listed, refused

APPS, CORE = "GET /apis/apps/v1/namespaces/tracing", "GET /api/v1/namespaces/tracing"


def cluster(case: str) -> FakeApi:
    """Returns the API server of a cluster with Tempo's objects of a golden case, in the namespace `tracing`."""
    objects = golden.objects(case)
    of_kind = {
        kind: [item for name, item in objects.items() if name.startswith(f"{kind}-tempo")]
        for kind in ("StatefulSet", "Deployment", "ConfigMap")
    }

    def answer(kind: str) -> Any:
        def said(query: dict[str, list[str]], _: object) -> Any:
            of_tempo = ["app.kubernetes.io/name=tempo,app.kubernetes.io/part-of=nginx-tracing"]
            return listed(*(of_kind[kind] if query.get("labelSelector") == of_tempo else ()))

        return said

    config_maps = {f"{CORE}/configmaps/{item['metadata']['name']}": (200, item) for item in of_kind["ConfigMap"]}
    return FakeApi(
        {
            f"{APPS}/statefulsets": answer("StatefulSet"),
            f"{APPS}/deployments": answer("Deployment"),
            **config_maps,
        }
    )


def check(server: str, storage: dict[str, Any]) -> None:
    async def ask() -> None:
        async with Api(server, None) as api:
            await warn_of_hidden_traces(Settings.model_validate({"tempo": {"storage": storage}}), api)

    asyncio.run(ask())


MINIO = "the bucket traces of minio.storage.svc:9000"
S3 = {"type": "s3", "bucket": "traces", "endpoint": "https://minio.storage.svc:9000"}


@pytest.mark.parametrize(
    ("case", "storage", "places"),
    [
        ("prod", S3, ("Tempo's own disk", MINIO)),
        ("distributed", {"type": "local"}, (MINIO, "Tempo's own disk")),
        (
            "distributed",
            S3 | {"prefix": "prod"},
            (MINIO, "the bucket traces/prod of minio.storage.svc:9000"),
        ),
        (
            "bucket-identity",
            {"type": "azure", "account": "other", "bucket": "traces"},
            ("the container golden/traces", "the container other/traces"),
        ),
        (
            "bucket-gcs",
            {"type": "gcs", "bucket": "golden-traces", "prefix": "tempo"},
            (
                "the bucket golden-traces/tempo of storage-golden.p.googleapis.com",
                "the bucket golden-traces/tempo",
            ),
        ),
    ],
)
def test_a_change_of_the_storage_is_told_before_it_is_made(
    case: str, storage: dict[str, Any], places: tuple[str, str], serve: Serve, warnings: list[str]
) -> None:
    check(serve(cluster(case)).kubeconfig, storage)
    assert warnings == [
        f"tempo.storage: Tempo's blocks are in another place: {places[0]}. It will read {places[1]} alone, and will "
        "not find the traces that it has until their blocks are copied. docs/how-to/store-traces-in-a-bucket.md, "
        '"Move from the disk to a bucket", has the commands: some come before this update'
    ]


@pytest.mark.parametrize("case", golden.cases())
def test_what_the_program_made_is_where_the_configuration_says(case: str, serve: Serve, warnings: list[str]) -> None:
    check(serve(cluster(case)).kubeconfig, golden.configuration(case).get("tempo", {}).get("storage", {}))
    assert warnings == []


def test_traces_without_a_volume_end_with_the_pod_anyway(serve: Serve, warnings: list[str]) -> None:
    check(serve(cluster("dev")).kubeconfig, S3)
    assert warnings == []


def test_a_cluster_that_does_not_tell_is_the_business_of_other_checks(serve: Serve, warnings: list[str]) -> None:
    check(serve(FakeApi({f"{APPS}/statefulsets": refused(403, "forbidden")})).kubeconfig, S3)
    check(kubeconfig(NOWHERE), S3)
    unread = cluster("prod")
    unread.answers |= {name: refused(403, "forbidden") for name in unread.answers if "configmaps" in name}
    check(serve(unread).kubeconfig, S3)
    assert warnings == []


def test_the_checks_of_a_cluster_ask_for_tempo_s_storage(serve: Serve, warnings: list[str]) -> None:
    server = serve(cluster("prod"))
    settings = Settings.model_validate({"tempo": {"storage": S3}})
    # This server has no nodes.
    with pytest.raises(pulumi.RunError):
        asyncio.run(ask_cluster(settings, kubeconfig=server.kubeconfig, context=None))
    assert [line for line in warnings if line.startswith("tempo.storage")] != []

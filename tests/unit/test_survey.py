"""Tests of the look at objects that exist under the stack's names: few requests, and metadata alone."""

import asyncio
from collections.abc import Sequence

from components.cluster import api as cluster_api
from components.cluster.survey import Survey, survey
from components.plan.objects import NAMESPACE as KIND
from components.plan.objects import Planned, planned
from settings import Settings
from tests.unit.conftest import Serve
from tests.unit.fake_api import ApiOfObjects, FakeApi

OWN = {"annotations": {"nginx-tracing/stack": "nginx-tracing/test"}}
NAMESPACE = "/api/v1/namespaces/tracing"


def surveyed(wanted: Sequence[Planned], api: FakeApi) -> Survey:
    async def look() -> Survey:
        async with cluster_api.Api(api.kubeconfig, None) as client:
            return await survey(wanted, "tracing", client)

    return asyncio.run(look())


def test_where_there_is_no_namespace_one_request_is_all(api: ApiOfObjects) -> None:
    assert surveyed(planned(Settings()), api) == Survey()
    assert api.asked == [f"GET {NAMESPACE}"]


def test_a_proxy_s_page_in_place_of_an_object_is_no_object_that_may_be_made(serve: Serve) -> None:
    page = FakeApi({f"GET {NAMESPACE}": (200, "<html>log in</html>")})
    found = surveyed([Planned(KIND, "tracing")], serve(page))
    assert (found.found, found.unchecked) == ([], {KIND: "200: <html>log in</html>"})


def test_the_look_reads_metadata_alone_and_asks_once_for_each_object(api: ApiOfObjects) -> None:
    api.objects = {NAMESPACE: OWN}
    settings = Settings.model_validate({"monitoring": {"podMonitors": True}})
    wanted = planned(settings)
    found = surveyed(wanted, api)
    # A cluster without the Prometheus Operator answers for its kinds as for missing objects.
    assert [item.planned.name for item in found.found] == ["tracing"]
    assert found.unchecked == {}
    assert len(api.asked) == len(set(api.asked)) == len(wanted)
    assert api.accepted == {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}

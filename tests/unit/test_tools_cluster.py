"""The tools' requests to the API server of a stack's cluster."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.unit.fake_api import FakeApi, Said, listed, refused, serving
from tools import cluster
from tools.cluster import Access, ClusterApi, ClusterError
from tools.quickstart import ephemeral
from tools.quickstart.clusters import Cluster

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def server() -> Generator[FakeApi]:
    """An API server without objects."""
    with serving(FakeApi({})) as api:
        yield api


@pytest.fixture
def api(server: FakeApi) -> Generator[ClusterApi]:
    """A client of it."""
    with ClusterApi(Access(server.kubeconfig)) as client:
        yield client


def test_the_context_that_is_used_is_known(api: ClusterApi) -> None:
    assert api.context == "only"


def test_objects_are_listed_by_their_labels(api: ClusterApi, server: FakeApi) -> None:
    server.answers["GET /api/v1/pods"] = listed({"metadata": {"name": "a"}})
    assert [item["metadata"]["name"] for item in api.list_metadata("/api/v1/pods", labelSelector="a=b")] == ["a"]
    assert server.asked == ["GET /api/v1/pods?labelSelector=a%3Db"]


def test_a_server_that_has_no_time_is_asked_again(
    api: ClusterApi, server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "BUSY_PAUSES", (0.01, 0.01))
    busy = refused(429, "storage is (re)initializing")
    answers = iter([busy, busy, listed({"metadata": {"name": "a"}}), busy, busy, busy])

    def answer(_query: dict[str, list[str]], _body: Any) -> Said:
        return next(answers)

    server.answers["GET /api/v1/pods"] = answer
    assert [item["metadata"]["name"] for item in api.list_metadata("/api/v1/pods")] == ["a"]
    with pytest.raises(ClusterError, match="storage is"):
        api.list_metadata("/api/v1/pods")


def test_a_refusal_has_the_server_s_words_and_its_status(api: ClusterApi, server: FakeApi) -> None:
    server.answers["GET /api/v1/pods"] = refused(403, "pods is forbidden")
    with pytest.raises(ClusterError) as refusal:
        api.get("/api/v1/pods")
    assert (str(refusal.value), refusal.value.status) == (
        "the API server answers HTTP 403: pods is forbidden",
        403,
    )
    with pytest.raises(ClusterError, match="HTTP 404"):
        list(api.lines("/api/v1/namespaces/a/pods/b/log"))


def test_a_proxy_s_page_is_no_answer(api: ClusterApi, server: FakeApi) -> None:
    server.answers["GET /api/v1/pods"] = (200, "<html>log in</html>")
    with pytest.raises(ClusterError, match="does not answer with JSON: <html>"):
        api.get("/api/v1/pods")


def test_a_long_text_is_read_line_by_line(api: ClusterApi, server: FakeApi) -> None:
    server.answers["GET /log"] = (200, "one\ntwo\n")
    assert list(api.lines("/log", sinceSeconds="3")) == ["one", "two"]
    assert server.asked == ["GET /log?sinceSeconds=3"]


def test_a_preview_s_namespace_is_marked_as_the_stack_s_and_removed(
    server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[Any] = []

    def create(_: dict[str, list[str]], body: dict[str, Any]) -> Said:
        created.append(body)
        return 201, body

    server.answers[f"POST {NAMESPACES}"] = create
    server.answers[f"DELETE {NAMESPACES}/preview-1"] = (200, {})
    cluster = Cluster("kind", "kind cluster", "", environment={"KUBECONFIG": server.kubeconfig})
    with ephemeral._namespace(cluster, "preview-1", mark="nginx-tracing/dev"):  # pyright: ignore[reportPrivateUsage]
        assert server.asked == [f"POST {NAMESPACES}"]
    assert server.asked[1:] == [f"DELETE {NAMESPACES}/preview-1"]
    metadata = {"name": "preview-1", "annotations": {"nginx-tracing/stack": "nginx-tracing/dev"}}
    assert created == [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}]

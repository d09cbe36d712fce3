"""Tests of the API server's client: its logins, and its errors about a server that does not answer."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.cluster import api
from components.cluster.api import Answer, Api
from components.cluster.kubeconfig import ApiUnavailableError, ClusterUnreachableError, KubeconfigError
from tests.unit.fake_api import FakeApi, Said, kubeconfig, listed, refused, serving

PATHS = ("/api/v1/nodes", "/api/v1/services", "/api/v1/pods")


def with_plugin(text: str, folder: Path, script: str, version: str = "v1") -> str:
    """Returns a kubeconfig whose user has a credential plugin."""
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{script}\n")
    plugin.chmod(0o755)
    document = yaml.safe_load(text)
    run = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": str(plugin), "interactiveMode": "Never"}
    document["users"] = [{"name": "u", "user": {"exec": run}}]
    return yaml.safe_dump(document)


async def asked(text: str) -> list[Answer | BaseException]:
    async with Api(text, None) as api:
        return await asyncio.gather(*(api.get(path) for path in PATHS), return_exceptions=True)


def test_a_server_that_has_no_time_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "BUSY_PAUSES", (0.01, 0.01))
    busy = refused(429, "storage is (re)initializing")
    first, second, third = PATHS
    answers = {first: iter([busy, busy, listed()]), second: iter([busy, busy, busy]), third: iter([listed()])}

    def answered(path: str) -> Callable[[dict[str, list[str]], Any], Said]:
        return lambda _query, _body: next(answers[path])

    with serving(FakeApi({f"GET {path}": answered(path) for path in PATHS})) as server:
        found = asyncio.run(asked(server.kubeconfig))
    assert [answer.status for answer in found if isinstance(answer, Answer)] == [200, 429, 200]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_credential_plugin_is_run_once_for_all_requests(tmp_path: Path, version: str) -> None:
    api = FakeApi({f"GET {path}": listed() for path in PATHS})
    with serving(api):
        text = with_plugin(api.kubeconfig, tmp_path, 'echo \'{"status": {"token": "from-plugin"}}\'', version)
        answers = asyncio.run(asked(text))
    assert [isinstance(answer, Answer) and answer.is_ok for answer in answers] == [True] * 3
    assert (tmp_path / "runs").read_text() == "run\n"
    assert api.authorized == {"Bearer from-plugin"}


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("echo 'session has ended' >&2; exit 3", ClusterUnreachableError, "returned 3: session has ended"),
        ("echo no-credentials", KubeconfigError, "the program cannot use the kubeconfig (JSONDecodeError: "),
        ("echo '{}'", KubeconfigError, "the program cannot use the kubeconfig (KeyError: 'status')"),
    ],
)
def test_a_credential_plugin_that_fails_is_told_to_everything_that_asks_and_is_not_run_again(
    script: str, kind: type[ApiUnavailableError], said: str, tmp_path: Path
) -> None:
    answers = asyncio.run(asked(with_plugin(kubeconfig(), tmp_path, script)))
    assert [type(answer) for answer in answers] == [kind] * 3
    assert all(said in str(answer) for answer in answers)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_plugin_that_is_not_installed_is_named() -> None:
    document = yaml.safe_load(kubeconfig())
    run: dict[str, Any] = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "no-such-plugin"}
    document["users"] = [{"name": "u", "user": {"exec": run}}]
    answers = asyncio.run(asked(yaml.safe_dump(document)))
    assert {str(answer) for answer in answers} == {"[Errno 2] No such file or directory: 'no-such-plugin'"}


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "http://localhost:1"])
def test_why_there_is_no_connection_is_said_whatever_the_attempts(server: str) -> None:
    answers = asyncio.run(asked(kubeconfig(server)))
    assert {str(answer) for answer in answers} == {"[Errno 111] Connection refused"}


def test_an_api_that_nothing_was_asked_of_reads_no_kubeconfig() -> None:
    async def enter() -> None:
        async with Api("/no/such/file", None):
            pass

    asyncio.run(enter())


def test_a_page_of_a_proxy_is_no_object() -> None:
    api = FakeApi({"GET /api/v1/nodes": (200, "<html>log in</html>"), "GET /api/v1/pods": (502, "<html>bad</html>")})
    with serving(api):
        nodes, _, pods = asyncio.run(asked(api.kubeconfig))
    assert isinstance(nodes, Answer)
    assert isinstance(pods, Answer)
    assert nodes.items == []
    assert pods.message == "<html>bad</html>"

"""Which cluster the probe asks: the one that the stack's configuration names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.probe.conftest import Ended
from tests.unit.probe.fake_stack import FakeStack
from tools.cluster import Access, ClusterApi, ClusterError
from tools.probe.command import main

Configured = Callable[..., Callable[..., Ended]]


@pytest.fixture
def configured(
    stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Configured:
    """A `pulumi` with the stack's outputs and some configuration; KUBECONFIG leads to another cluster."""
    folder = tmp_path / "bin"
    folder.mkdir()
    outputs = stack.write_outputs(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    text = (tmp_path / "kubeconfig").read_text().replace(stack.api.url, "http://127.0.0.1:1")
    elsewhere.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def configure(*, secret: bool = False, **values: str) -> Callable[..., Ended]:
        listed = {
            f"kubernetes:{key}": {"secret": secret} | ({} if secret else {"value": value})
            for key, value in values.items()
        }
        (tmp_path / "config").write_text(json.dumps(listed))
        for key, value in values.items():
            (folder / f"kubernetes:{key}").write_text(value)
        program = folder / "pulumi"
        program.write_text(
            f"""#!/bin/sh
            case "$3 $4" in
                "stack output") exec cat {outputs};;
                "config --json") exec cat {tmp_path}/config;;
                "config get") exec cat "{folder}/$5";;
            esac
            exit 1
            """
        )
        program.chmod(0o755)

        def probe(*arguments: str) -> Ended:
            code = main(["--requests", "2", "--json", *arguments])
            captured = capsys.readouterr()
            return Ended(code, captured.out, captured.err)

        return probe

    return configure


def unreadable(ended: Ended) -> set[str | None]:
    assert ended.code == 0, ended.errors
    return {hop["unreadable"] for hop in ended.document["hops"]}


def two_contexts(stack: FakeStack, file: Path) -> str:
    """A kubeconfig whose current context leads nowhere, and whose context `other` leads to the stack's cluster."""
    document: dict[str, Any] = json.loads(file.read_text())
    document["clusters"].append({"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}})
    document["contexts"] = [
        {"name": "nowhere", "context": {"cluster": "nowhere", "user": "fake"}},
        {"name": "other", "context": {"cluster": "fake", "user": "fake"}},
    ]
    document["current-context"] = "nowhere"
    return yaml.safe_dump(document)


def test_without_a_configured_cluster_kubeconfig_s_current_context_is_asked(configured: Configured) -> None:
    (reason,) = unreadable(configured()())
    assert reason
    assert "the API server http://127.0.0.1:1 cannot be reached" in reason


@pytest.mark.parametrize("is_secret", [False, True])
def test_the_stack_s_kubeconfig_is_read_and_not_the_environment_s(
    configured: Configured, tmp_path: Path, is_secret: bool
) -> None:
    assert unreadable(configured(kubeconfig=str(tmp_path / "kubeconfig"))()) == {None}
    contents = yaml.safe_dump(json.loads((tmp_path / "kubeconfig").read_text()))
    ended = configured(secret=is_secret, kubeconfig=contents)()
    assert unreadable(ended) == {None}
    assert "Bearer" not in ended.output + ended.errors


def test_the_stack_s_context_is_asked_and_an_argument_overrides_it(
    configured: Configured, stack: FakeStack, tmp_path: Path
) -> None:
    contents = two_contexts(stack, tmp_path / "kubeconfig")
    probe = configured(kubeconfig=contents, context="other")
    assert unreadable(probe()) == {None}
    (reason,) = unreadable(probe("--context", "nowhere"))
    assert reason
    assert "http://127.0.0.1:1" in reason


def test_a_watch_asks_the_stack_s_cluster_too(configured: Configured, tmp_path: Path) -> None:
    ended = configured(kubeconfig=str(tmp_path / "kubeconfig"))("--watch", "0.1", "--rounds", "1")
    assert ended.code == 0, ended.output
    assert ended.document["version"] == 1


def test_a_configuration_that_cannot_be_read_makes_no_probe(configured: Configured, tmp_path: Path) -> None:
    probe = configured()
    (tmp_path / "config").unlink()
    ended = probe()
    assert (ended.code, ended.output) == (2, "")
    assert "`pulumi config --json` exited with 1" in ended.errors


@pytest.mark.parametrize("plugin", ["no-such-plugin", "false", "true"])
def test_a_credential_plugin_that_fails_is_told(stack: FakeStack, tmp_path: Path, plugin: str) -> None:
    document: dict[str, Any] = json.loads((tmp_path / "kubeconfig").read_text())
    document["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin}}
    with ClusterApi(Access(yaml.safe_dump(document))) as api, pytest.raises(ClusterError, match="cannot be used"):
        api.get("/api/v1/namespaces/tracing/pods")

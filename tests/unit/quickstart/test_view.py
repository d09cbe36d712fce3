"""Tests which stack `make view` shows."""

import os
from typing import Any

import pytest

from tools.quickstart import clusters, command, stack
from tools.quickstart.clusters import Cluster
from tools.view.command import main


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps the command that this process would become, and its environment."""
    kept: list[Any] = []

    def become(_: str, words: list[str], environment: dict[str, str]) -> None:
        kept.extend([words, environment])

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.setattr(os, "chdir", str)
    return kept


def test_it_is_the_one_that_make_up_deployed(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("lab", "the embedded lab", "")

    def environment(of: Cluster) -> dict[str, str]:
        return {"CLUSTER": of.description}

    monkeypatch.setattr(clusters, "saved", lambda: cluster)
    monkeypatch.setattr(stack, "environment", environment)
    main(["--quickstart", "--port", "9412"])
    words, variables = became
    assert words[1:] == ["-m", "tools", "view", "--port", "9412"]
    assert variables == {"CLUSTER": "the embedded lab"}


def test_without_one_it_is_the_selected_stack(became: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "saved", lambda: None)
    command.view([])
    assert became[1] == dict(os.environ)

"""Tests objects of others on a real cluster: the program refuses them before it makes anything, and leaves them alone.

Objects that a killed update left belong to the stack.
"""

import itertools
import json
import re
import shlex
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from components.plan.objects import STACK_ANNOTATION
from lab.cluster.lifecycle import kubectl
from tests.lab.conftest import laid_out
from tests.lab.test_previews import drift
from tools.lab_stack import Stack
from tools.measure.updates.foreign import create_foreign, snapshot
from tools.measure.updates.interrupted import is_killed_after

NAMESPACES = itertools.count(1)
"""Each test has a namespace of its own, so that none waits for the end of the one before."""


@pytest.fixture
def own(lab: None, tmp_path: Path) -> Generator[Stack]:
    """Yields a stack that is not deployed yet."""
    with laid_out(tmp_path / "program", "ownership", f"tracing-ownership-{next(NAMESPACES)}") as made:
        yield made


def here_of(stack: Stack) -> str:
    return f"--namespace={stack.namespace}"


def refused(stack: Stack) -> str:
    """Returns how a preview and an update refuse objects of others; neither makes anything."""
    said: set[str] = set()
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        done = stack.pulumi(*command)
        assert done.returncode != 0, done.stdout
        said.add(done.stdout[done.stdout.index("that this stack would make") :])
    assert all("nothing was changed" in text for text in said)
    resources = json.loads(stack.must("stack", "export"))["deployment"].get("resources", [])
    assert [item["type"] for item in resources if item["type"].startswith("kubernetes:")] == []
    return max(said, key=len)


def test_create_foreign_namespace_is_refused_and_is_as_before_after_up_and_destroy(own: Stack) -> None:
    create_foreign(own.namespace)
    before = snapshot(own.namespace)
    assert len(before) >= 5
    said = refused(own)
    for words in (f"Namespace {own.namespace}", "Deployment web", "ConfigMap web", "Secret web", "Service web"):
        assert words in said
    assert "kubectl" in said
    # Nothing of it is in the stack's state.
    own.must("destroy", "--yes", "--skip-preview")
    assert snapshot(own.namespace) == before


def test_the_command_of_the_error_gives_a_namespace_to_the_stack(own: Stack) -> None:
    assert kubectl("create", "namespace", own.namespace).returncode == 0
    (offered,) = re.findall(r"kubectl (annotate .*)", refused(own))
    assert kubectl(*shlex.split(offered)).returncode == 0
    forced = replace(own, environment=own.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    forced.up()
    assert own.planned() == {}


def test_a_foreign_service_in_the_stack_s_own_namespace_is_refused_and_left_as_it_is(own: Stack) -> None:
    assert kubectl("create", "namespace", own.namespace).returncode == 0
    mark = f"{STACK_ANNOTATION}=nginx-tracing/{own.name}"
    assert kubectl("annotate", "namespace", own.namespace, mark).returncode == 0
    assert kubectl("create", "service", "clusterip", "tempo", "--tcp=80", here_of(own)).returncode == 0
    before = snapshot(own.namespace)
    said = refused(own)
    assert f"Service tempo in the namespace {own.namespace}" in said
    assert "written by kubectl-create" in said
    assert "Deployment" not in said
    assert snapshot(own.namespace) == before


def test_a_namespace_that_is_shared_keeps_everything_of_others(own: Stack) -> None:
    create_foreign(own.namespace)
    before = snapshot(own.namespace)
    own.configure({"createNamespace": "false"})
    own.up()
    assert own.planned() == {}
    assert snapshot(own.namespace).items() >= before.items()
    own.must("destroy", "--yes", "--skip-preview")
    assert snapshot(own.namespace) == before


def test_an_update_that_was_killed_is_taken_up_again(own: Stack) -> None:
    assert is_killed_after(own, 6)
    own.must("cancel", "--yes")
    forced = replace(own, environment=own.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    forced.up()
    assert own.planned() == {}


def test_drift_names_a_leftover_of_each_kind_and_nothing_that_another_stack_has_marked(own: Stack) -> None:
    own.up()
    label, mark = "app.kubernetes.io/part-of=nginx-tracing", f"{STACK_ANNOTATION}=nginx-tracing/{own.name}"
    left = ("horizontalpodautoscaler/left", "role/left", "rolebinding/left", "serviceaccount/left")
    for command in (
        ("autoscale", "deployment", "nginx", "--name=left", "--max=2"),
        ("create", "role", "left", "--verb=get", "--resource=pods"),
        ("create", "rolebinding", "left", "--role=left", f"--serviceaccount={own.namespace}:default"),
        ("create", "serviceaccount", "left"),
        ("create", "configmap", "other"),
        ("label", *left, "configmap/other", label),
        ("annotate", *left, mark),
        ("annotate", "configmap/other", f"{STACK_ANNOTATION}=nginx-tracing/other"),
    ):
        done = kubectl(*command, here_of(own))
        assert done.returncode == 0, done.stderr
    found = drift(own)
    assert found.returncode == 1, found.stderr
    named = [line for line in found.stdout.splitlines() if line.startswith("kubectl delete")]
    assert sorted(line.split()[2] for line in named) == sorted(item.split("/")[0] for item in left)
    for line in named:
        assert kubectl(*line.split()[1:]).returncode == 0
    assert drift(own).returncode == 0

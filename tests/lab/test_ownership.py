"""Objects of others on a real cluster: refused before anything is made, and left as they are.

What a killed update left, and what the version before deployed, is this stack's own.
"""

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.plan.objects import CLAIM, NAMESPACED_KINDS, STACK_ANNOTATION
from lab.cluster.lifecycle import kubectl
from lab.paths import REPOSITORY
from lab.stack import PROGRAM, Stack
from tests.lab.conftest import answers
from tests.lab.test_previews import drift
from tests.waiting import wait_for
from tools.measure.reliability.foreign import snapshot, somebody_s
from tools.measure.reliability.interrupted import is_killed_after

NAMESPACE = "tracing-ownership"
HERE = f"--namespace={NAMESPACE}"
SMALL = {f"{component}.resources.cpu": "50m" for component in ("nginx", "collector", "tempo")}
PREVIOUS = (Path(__file__).parent / "previous_version.txt").read_text().strip()
"""The commit of the version before this one."""


@pytest.fixture
def own(lab: None, tmp_path: Path) -> Generator[Stack]:
    """A stack that is not deployed yet; its namespace goes at the end, whosever it is."""
    made = Stack.lay_out(tmp_path / "program", "ownership", NAMESPACE)
    made.configure(SMALL)
    try:
        yield made
    finally:
        made.pulumi("cancel", "--yes")
        made.pulumi("destroy", "--yes", "--skip-preview")
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def refused(stack: Stack) -> str:
    """What a preview and an update say of what is not the stack's own; both end without having made anything."""
    said: set[str] = set()
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        done = stack.pulumi(*command)
        assert done.returncode != 0, done.stdout
        said.add(done.stdout[done.stdout.index("that this stack would make") :])
    assert all("nothing was changed" in text for text in said)
    resources = json.loads(stack.must("stack", "export"))["deployment"].get("resources", [])
    assert [item["type"] for item in resources if item["type"].startswith("kubernetes:")] == []
    return max(said, key=len)


def test_somebody_s_namespace_is_refused_and_is_as_before_after_up_and_destroy(own: Stack) -> None:
    somebody_s(NAMESPACE)
    before = snapshot(NAMESPACE)
    assert len(before) >= 5
    said = refused(own)
    for words in (f"Namespace {NAMESPACE}", "Deployment web", "ConfigMap web", "Secret web", "Service web"):
        assert words in said
    assert "kubectl" in said
    # Nothing of it is in the stack's state.
    own.must("destroy", "--yes", "--skip-preview")
    assert snapshot(NAMESPACE) == before


def test_the_command_of_the_error_gives_a_namespace_to_the_stack(own: Stack) -> None:
    assert kubectl("create", "namespace", NAMESPACE).returncode == 0
    (offered,) = re.findall(r"kubectl (annotate .*)", refused(own))
    assert kubectl(*shlex.split(offered)).returncode == 0
    forced = replace(own, environment=own.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    forced.up()
    assert own.planned() == {}


def test_a_foreign_service_in_the_stack_s_own_namespace_is_refused_and_left_as_it_is(own: Stack) -> None:
    assert kubectl("create", "namespace", NAMESPACE).returncode == 0
    mark = f"{STACK_ANNOTATION}=nginx-tracing/{own.name}"
    assert kubectl("annotate", "namespace", NAMESPACE, mark).returncode == 0
    assert kubectl("create", "service", "clusterip", "tempo", "--tcp=80", HERE).returncode == 0
    before = snapshot(NAMESPACE)
    said = refused(own)
    assert f"Service tempo in the namespace {NAMESPACE}" in said
    assert "written by kubectl-create" in said
    assert "Deployment" not in said
    assert snapshot(NAMESPACE) == before


def test_a_namespace_that_is_shared_keeps_everything_of_others(own: Stack) -> None:
    somebody_s(NAMESPACE)
    before = snapshot(NAMESPACE)
    own.configure({"createNamespace": "false"})
    own.up()
    assert own.planned() == {}
    assert snapshot(NAMESPACE).items() >= before.items()
    own.must("destroy", "--yes", "--skip-preview")
    assert snapshot(NAMESPACE) == before


def test_an_update_that_was_killed_is_taken_up_again(own: Stack) -> None:
    assert is_killed_after(own, 6)
    own.must("cancel", "--yes")
    forced = replace(own, environment=own.environment | {"PULUMI_K8S_ENABLE_PATCH_FORCE": "true"})
    forced.up()
    assert own.planned() == {}


def previous_version(folder: Path) -> None:
    """Puts the program of the version before into a folder, in the place of this one."""
    git = ("git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY))
    with contextlib.suppress(FileNotFoundError):
        archived = subprocess.run([*git, "archive", PREVIOUS, *PROGRAM], check=False, capture_output=True)
        if archived.returncode == 0:
            remove_program(folder)
            with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as files:
                files.extractall(folder, filter="data")
            return
    pytest.skip(f"git's history has no commit {PREVIOUS}, the version before: a shallow clone, or no checkout")


def remove_program(folder: Path) -> None:
    for entry in PROGRAM:
        path = folder / entry
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def this_version(folder: Path) -> None:
    """Puts this program in the place of the other."""
    remove_program(folder)
    for entry in PROGRAM:
        source = REPOSITORY / entry
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / entry)


def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """The metadata of everything that has the stack's label, by kind and name."""
    kinds = ",".join(kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin)
    listed = kubectl("get", kinds, HERE, "--selector=app.kubernetes.io/part-of=nginx-tracing", "--output=json")
    namespace = kubectl("get", "namespace", NAMESPACE, "--output=json")
    items = [*json.loads(listed.stdout)["items"], json.loads(namespace.stdout)]
    return {(item["kind"], item["metadata"]["name"]): item["metadata"] for item in items}


def test_a_stack_of_the_version_before_goes_on_and_gets_its_marks_in_place(own: Stack) -> None:
    previous_version(own.folder)
    own.configure(
        {
            "nginx.autoscaling.maxReplicas": "2",
            "collector.distribution": "contrib",
            "collector.queue.storage": "persistent",
            "collector.kubernetesAttributes": "true",
            "tempo.persistence.size": "1Gi",
        }
    )
    own.up()
    url = own.outputs()["nginxUrl"]
    wait_for(url, lambda: answers(url), seconds=30)
    before = objects()
    assert not any(STACK_ANNOTATION in (metadata.get("annotations") or {}) for metadata in before.values())

    this_version(own.folder)
    # A replacement of these would be a gap, or the loss of a volume.
    stable = ("Namespace", "Service", "Deployment", "StatefulSet", "PersistentVolumeClaim", "ServiceAccount")
    replaced = [name for name, operation in own.planned().items() if "replace" in operation or operation == "delete"]
    assert not [name for name in replaced if name.split("::")[0].rpartition(":")[2] in stable]
    own.up()
    assert httpx.get(url, timeout=5).is_success
    after = objects()
    for name, metadata in after.items():
        if name[0] != "PersistentVolumeClaim":
            assert metadata["annotations"][STACK_ANNOTATION] == f"nginx-tracing/{own.name}", name
    kept = {name: metadata["uid"] for name, metadata in before.items() if name[0] in stable}
    assert kept == {name: after[name]["uid"] for name in kept}
    assert own.planned() == {}


def test_drift_names_a_leftover_of_each_kind_and_nothing_that_another_stack_has_marked(own: Stack) -> None:
    own.up()
    label, mark = "app.kubernetes.io/part-of=nginx-tracing", f"{STACK_ANNOTATION}=nginx-tracing/{own.name}"
    left = ("horizontalpodautoscaler/left", "role/left", "rolebinding/left", "serviceaccount/left")
    for command in (
        ("autoscale", "deployment", "nginx", "--name=left", "--max=2"),
        ("create", "role", "left", "--verb=get", "--resource=pods"),
        ("create", "rolebinding", "left", "--role=left", f"--serviceaccount={NAMESPACE}:default"),
        ("create", "serviceaccount", "left"),
        ("create", "configmap", "other"),
        ("label", *left, "configmap/other", label),
        ("annotate", *left, mark),
        ("annotate", "configmap/other", f"{STACK_ANNOTATION}=nginx-tracing/other"),
    ):
        done = kubectl(*command, HERE)
        assert done.returncode == 0, done.stderr
    found = drift(own)
    assert found.returncode == 1, found.stderr
    named = [line for line in found.stdout.splitlines() if line.startswith("kubectl delete")]
    assert sorted(line.split()[2] for line in named) == sorted(item.split("/")[0] for item in left)
    for line in named:
        assert kubectl(*line.split()[1:]).returncode == 0
    assert drift(own).returncode == 0

"""Tests `pulumi up` of a stack that an earlier version of the program deployed.

An earlier program comes from git's history by its commit: a clone may have no tags.
"""

import contextlib
import io
import itertools
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from components.plan.objects import CLAIM, NAMESPACED_KINDS, STACK_ANNOTATION
from lab.build.builder import build
from lab.build.targets import VEGETA
from lab.cluster.lifecycle import kubectl
from lab.paths import REPOSITORY
from lab.progress import Progress
from lab.stack import stack_configuration
from settings.snippets.ours import HEALTH_PORT
from tests.lab.conftest import deploy, laid_out
from tests.processes import Shared
from tools.lab_stack import PROGRAM, Stack
from tools.measure.faults.scenarios import RATE, RECONNECTED_SECONDS
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic

PREVIOUS = (Path(__file__).parent / "previous_version.txt").read_text().strip()
"""The commit of the version before this one."""

UNMARKED = "c38fd0fc557effb393fcea8fa55131bbe5542630"
"""The last commit whose program marked no object as its stack's."""

NOTES = REPOSITORY / "CHANGELOG.md"
"""The upgrade notes. They name each object that the upgrade replaces as `Kind name`."""

STABLE = ("Namespace", "Service", "Deployment", "StatefulSet", "PersistentVolumeClaim", "ServiceAccount")
"""The kinds of which a replacement would be a gap, or the loss of a volume."""

ROUTES = {
    "nginx.routes[0].path": "/",
    "nginx.routes[0].root": "/usr/share/nginx/html",
    "nginx.routes[1].path": "/proxied/",
    # NGINX's own server for probes, so that no other pods' update is measured.
    "nginx.routes[1].upstream": f"127.0.0.1:{HEALTH_PORT}",
    "nginx.routes[1].extraConfig": "rewrite ^ /healthz break;",
}
"""The image's own pages, and an upstream, whose requests have a span more from 0.4.0 on."""

DEFAULTS = ROUTES | {"tempo.persistence.size": "1Gi"}
"""The defaults, with a volume that the traces of before the upgrade stay on."""

EVERYTHING = DEFAULTS | {
    "nginx.autoscaling.maxReplicas": "2",
    "collector.distribution": "contrib",
    "collector.queue.storage": "persistent",
    "collector.kubernetesAttributes": "true",
}
"""A configuration that makes every kind of object."""

Deployed = Callable[[str, Mapping[str, str]], Stack]


@pytest.fixture
def deployed(lab: None, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Deployed]:
    """Deploys the program of a commit; a test then puts this one in its place."""
    numbers = itertools.count(1)
    with contextlib.ExitStack() as ends:

        def deployed_by(commit: str, configured: Mapping[str, str]) -> Stack:
            name = f"{commit[:7]}-{next(numbers)}"
            folder = tmp_path / f"program-{name}"
            stack = ends.enter_context(laid_out(folder, f"from-{name}", f"tracing-upgrade-{name}"))
            # The lab's own file names a distribution, where each program has a default of its own, and an image that
            # programs before 0.5.0 do not know.
            for key in ("distribution", "queue"):
                stack.must("config", "rm", "--path", f"collector.{key}")
            stack.configure(configured)
            take_program(folder, commit)
            deploy(stack)
            return stack

        yield deployed_by


def take_program(folder: Path, commit: str) -> None:
    """Puts a commit's program into a folder in the place of this one."""
    git = ("git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY))
    if not (REPOSITORY / ".git").exists():
        pytest.skip("no checkout, and so no program of an earlier version")
    archived = subprocess.run([*git, "archive", commit, *PROGRAM], check=False, capture_output=True)
    assert archived.returncode == 0, f"{archived.stderr.decode()}\nIn a shallow clone: git fetch --unshallow"
    remove_program(folder)
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as files:
        files.extractall(folder, filter="data")


def remove_program(folder: Path) -> None:
    for entry in PROGRAM:
        path = folder / entry
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def take_this_program(stack: Stack) -> None:
    """Puts this program in the place of the other, with the lab's image that an earlier one does not know."""
    remove_program(stack.folder)
    for entry in PROGRAM:
        source = REPOSITORY / entry
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, stack.folder / entry)
    collector = yaml.safe_load(stack_configuration())["config"]["nginx-tracing:collector"]
    stack.configure({"collector.queue.drain.image": collector["queue"]["drain"]["image"]})


def metadata_of(namespace: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Returns the metadata of everything that has the stack's label, by kind and name."""
    here = f"--namespace={namespace}"
    kinds = ",".join(kind.resource for kind in (*NAMESPACED_KINDS, CLAIM) if kind.is_builtin)
    listed = kubectl("get", kinds, here, "--selector=app.kubernetes.io/part-of=nginx-tracing", "--output=json")
    own = kubectl("get", "namespace", namespace, "--output=json")
    items = [*json.loads(listed.stdout)["items"], json.loads(own.stdout)]
    return {(item["kind"], item["metadata"]["name"]): item["metadata"] for item in items}


def replaced(stack: Stack) -> list[str]:
    """Returns the objects that `pulumi up` would replace or delete, as `Kind name`."""
    return [
        f"{name.split('::')[0].rpartition(':')[2]} {name.split('::')[1]}"
        for name, operation in stack.planned().items()
        if "replace" in operation or operation == "delete"
    ]


def upgrade_notes(program: Path) -> str:
    """Returns the upgrade notes of every version that came after that of a program."""
    (version,) = re.findall(r'^VERSION = "(.+)"', (program / "settings" / "version.py").read_text(), re.MULTILINE)
    later, found, _ = NOTES.read_text().partition(f"\n## {version} ")
    assert found, f"CHANGELOG.md has no section of {version}"
    return "".join(re.findall(r"^### Upgrade notes\n(.*?)(?=^##|\Z)", later, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    "configured",
    [
        pytest.param(DEFAULTS, id="defaults"),
        # What it has besides are StatefulSets of Collectors, which test_versions.py updates under requests.
        pytest.param(EVERYTHING, id="everything", marks=pytest.mark.deep),
    ],
)
def test_an_upgrade_replaces_what_its_notes_name_and_loses_no_request_and_no_span(
    configured: Mapping[str, str], deployed: Deployed, shared: Shared, request: pytest.FixtureRequest
) -> None:
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        build([VEGETA], Progress())
    assert shared.what_goes_wrong(lambda: upgraded_under_requests(deployed(PREVIOUS, configured))) == ""


def upgraded_under_requests(stack: Stack) -> str:
    """Upgrades a stack under requests, and returns which of those went wrong; none if it is empty."""
    outputs, before, notes = stack.outputs(), metadata_of(stack.namespace), upgrade_notes(stack.folder)
    take_this_program(stack)
    assert [name for name in replaced(stack) if name not in notes] == []

    url = outputs["nginxUrl"]
    with Traffic(url, RATE) as static, Traffic(f"{url}/proxied", RATE) as proxied:
        stack.up()
    assert stack.outputs().items() >= outputs.items()
    after = metadata_of(stack.namespace)
    kept = {name: metadata["uid"] for name, metadata in before.items() if name[0] in STABLE}
    assert kept == {name: after[name]["uid"] for name in kept}
    assert stack.planned() == {}
    return "; ".join(filter(None, (losses(outputs["tempoUrl"], traffic.sent) for traffic in (static, proxied))))


def losses(tempo_url: str, sent: Sent) -> str:
    """Returns how many requests failed, or how many traces are lost; none if it is empty."""
    assert sent.count > RATE
    if sent.failed:
        return f"requests failed: {sent.reasons()}"
    # A Collector that found no Tempo for a while dials again after up to `RECONNECTED_SECONDS`.
    lost = missing(tempo_url, sent, patience_seconds=RECONNECTED_SECONDS)
    return f"{len(lost)} of {sent.count} traces were lost" if lost else ""


@pytest.mark.deep  # Releases before 0.2.0 alone made such stacks; the test above upgrades one of the last release.
def test_a_stack_without_marks_goes_on_and_gets_its_marks_in_place(deployed: Deployed) -> None:
    stack = deployed(UNMARKED, EVERYTHING)
    url, before = stack.outputs()["nginxUrl"], metadata_of(stack.namespace)
    assert not any(STACK_ANNOTATION in (metadata.get("annotations") or {}) for metadata in before.values())

    take_this_program(stack)
    assert [name for name in replaced(stack) if name.split()[0] in STABLE] == []
    stack.up()
    assert httpx.get(url, timeout=5).is_success
    after = metadata_of(stack.namespace)
    for name, metadata in after.items():
        if name[0] != "PersistentVolumeClaim":
            assert metadata["annotations"][STACK_ANNOTATION] == f"nginx-tracing/{stack.name}", name
    kept = {name: metadata["uid"] for name, metadata in before.items() if name[0] in STABLE}
    assert kept == {name: after[name]["uid"] for name in kept}
    assert stack.planned() == {}

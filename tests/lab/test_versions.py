"""Tests `pulumi up` from the tutorial's versions to the current ones, and back, under requests.

The lab has two Collectors, but one NGINX and one Tempo, which both sets run. The current set names these two by their
digests here, so that their pods are replaced as well. So Tempo's WAL is read by the Tempo that wrote it. Tempo 3, from
which there is no way back, is refused in `tests/unit/test_way_back.py`.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import httpx
import pytest
import yaml

from components.documents.collector import OTLP_PORT
from lab.build.images import REGISTRY_ADDRESS
from lab.build.targets import VEGETA
from lab.paths import REPOSITORY
from lab.stack import STACK_FILES
from tests.lab.conftest import deploy, laid_out, provide
from tests.processes import Shared
from tools.lab_stack import Stack
from tools.measure.faults.full_disk import counter_of
from tools.measure.faults.inject import cut_off, pods
from tools.measure.faults.outcome import AROUND_SECONDS, RATE
from tools.measure.faults.scenarios import CONFIGURATION, RECONNECTED_SECONDS
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic, send_for
from tools.probe.names import COLLECTOR_METRICS_PORT, QUEUE_SIZE

COMPONENTS = {"nginx": "nginx", "collector": "otel-collector", "tempo": "tempo"}
"""The names of their pods, by their keys."""

Deployed = Callable[[], Stack]


@pytest.fixture
def deployed(lab: None, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Deployed]:
    """Deploys the tutorial's versions as a stack that is to lose nothing."""
    provide(request, "tutorial", "current", targets=[VEGETA])
    numbers = itertools.count(1)
    with contextlib.ExitStack() as ends:

        def deploy_another() -> Stack:
            name = f"versions-{next(numbers)}"
            # It has a larger share of the CPU than the stacks beside it, so that only the update loses spans.
            stack = ends.enter_context(laid_out(tmp_path / name, name, f"tracing-{name}", cpu="50m"))
            stack.configure(CONFIGURATION | configuration_of("tutorial"))
            deploy(stack)
            return stack

        yield deploy_another


def configuration_of(versions: str) -> dict[str, str]:
    """Returns what a stack on the lab is configured with to run a set of versions."""
    configured = yaml.safe_load((REPOSITORY / STACK_FILES[versions]).read_text())["config"]
    images = {component: configured[f"nginx-tracing:{component}"]["image"] for component in COMPONENTS}
    if versions == "current":
        images |= {component: with_digest(images[component]) for component in ("nginx", "tempo")}
    return {"versions": versions} | {f"{component}.image": image for component, image in images.items()}


def with_digest(image: str) -> str:
    """Returns another reference of an image in the lab's registry, for which a pod is replaced."""
    name, _, tag = image.removeprefix(f"{REGISTRY_ADDRESS}/").rpartition(":")
    accepted = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    url = f"http://{REGISTRY_ADDRESS}/v2/{name}/manifests/{tag}"
    answer = httpx.head(url, headers=accepted, trust_env=False).raise_for_status()
    return f"{image}@{answer.headers['docker-content-digest']}"


def test_the_way_from_the_tutorial_s_versions_to_the_current_ones_and_back_loses_nothing(
    deployed: Deployed, shared: Shared
) -> None:
    wrong = lost_there_and_back(deployed())
    if wrong and shared.is_worker:
        # Other stacks' updates delay the network of new pods, which then lose spans.
        with shared.alone():
            wrong = lost_there_and_back(deployed())
    assert wrong == []


def lost_there_and_back(stack: Stack) -> list[str]:
    """Updates a stack to the current versions and back, and returns what was lost.

    The Collectors end with full queues on the way up. On the way back their queues are empty, because every trace was
    found: an older Collector does not read a newer one's queue.
    """
    url = stack.outputs()["nginxUrl"]
    stored = send_for(AROUND_SECONDS, url, RATE)
    lost = losses(stack, stored)
    cut_off(pods(stack.namespace, COMPONENTS["collector"]), OTLP_PORT)
    queued = send_for(AROUND_SECONDS, url, RATE)
    assert counter_of(stack, COMPONENTS["collector"], COLLECTOR_METRICS_PORT, QUEUE_SIZE) > 0
    up = moved_to("current", stack)
    lost += losses(stack, stored, queued, *up)
    return lost or losses(stack, stored, queued, *up, *moved_to("tutorial", stack))


def moved_to(versions: str, stack: Stack) -> Sequence[Sent]:
    """Updates a stack to a set of versions, and returns what clients sent meanwhile and for some time afterwards.

    One of them keeps its connections, the other makes one for each request.
    """
    url, configured = stack.outputs()["nginxUrl"], configuration_of(versions)
    stack.configure(configured)
    with Traffic(url, RATE) as kept, Traffic(url, RATE, keepalive=False) as new:
        stack.up()
        time.sleep(AROUND_SECONDS)
    for key, name in COMPONENTS.items():
        images = [container["image"] for pod in pods(stack.namespace, name) for container in pod["spec"]["containers"]]
        assert configured[f"{key}.image"] in images, f"{name} runs {images}"
    return kept.sent, new.sent


def losses(stack: Stack, *sent: Sent) -> list[str]:
    """Returns the requests that failed, and those whose traces are lost; each is looked up."""
    lost: list[str] = []
    for each in sent:
        if each.failed:
            lost.append(f"requests failed: {each.reasons()}")
        # A Collector that found no Tempo for a while dials again after up to `RECONNECTED_SECONDS`.
        gone = missing(stack.outputs()["tempoUrl"], each, patience_seconds=RECONNECTED_SECONDS)
        if gone:
            lost.append(f"{len(gone)} of {each.count} traces were lost")
    return lost

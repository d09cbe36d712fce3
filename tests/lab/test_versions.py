"""Tests `pulumi up` to newer versions, and the Collector's way back, under requests.

The lab has three Collectors, but one NGINX and one Tempo, which both sets run. The current set names these two by their
digests here, so that their pods are replaced as well. So Tempo's WAL is read by the Tempo that wrote it. Tempo 3, from
which there is no way back, is refused in `tests/unit/test_way_back.py`.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from components.documents.collector import OTLP_PORT
from lab.build.images import REGISTRY_ADDRESS
from lab.build.targets import NEXT_COLLECTOR, VEGETA
from lab.paths import REPOSITORY
from lab.stack import STACK_FILES
from tests.lab.conftest import deploy, laid_out, provide
from tests.processes import Shared
from tools.lab_stack import Stack
from tools.measure.configurations.documents import NEXT_IMAGE
from tools.measure.faults.counted import counter_of
from tools.measure.faults.inject import cut_off, pods
from tools.measure.faults.outcome import AROUND_SECONDS, RATE
from tools.measure.faults.scenarios import CONFIGURATION, RECONNECTED_SECONDS
from tools.measure.traces import missing
from tools.measure.traffic import Sent, Traffic, send_for
from tools.probe.names import COLLECTOR_METRICS_PORT, SENT

COMPONENTS = {"nginx": "nginx", "collector": "otel-collector", "tempo": "tempo"}
"""The names of their pods, by their keys."""

COLLECTOR_IMAGE = "collector.image"

Deployed = Callable[[str], Stack]


@pytest.fixture
def both_sets(lab: None, request: pytest.FixtureRequest) -> None:
    """Provides the images of both sets."""
    provide(request, "tutorial", "current", targets=[VEGETA])


@pytest.fixture
def next_collector(lab: None, request: pytest.FixtureRequest) -> None:
    """Provides the images of the current set, and a Collector that is newer."""
    provide(request, "current", targets=[VEGETA], collectors=[NEXT_COLLECTOR])


@pytest.fixture
def deployed(lab: None, tmp_path: Path) -> Generator[Deployed]:
    """Deploys a set of versions as a stack that is to lose nothing."""
    numbers = itertools.count(1)
    with contextlib.ExitStack() as ends:

        def deploy_another(versions: str) -> Stack:
            name = f"versions-{next(numbers)}"
            # It has a larger share of the CPU than the stacks beside it, so that only the update loses spans.
            stack = ends.enter_context(laid_out(tmp_path / name, name, f"tracing-{name}", cpu="50m"))
            # Pods that are cut off from Tempo would wait for it in vain.
            stack.configure(CONFIGURATION | {"collector.queue.drain.timeout": "5s"} | configuration_of(versions))
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


@dataclass(frozen=True)
class Way:
    """An update under requests, and the Collector's way back from it."""

    first: str
    """The set that is deployed first."""

    there: Mapping[str, str]
    """Configures the newer versions."""

    reads_newer_queue: bool
    """Whether the first Collector reads the queue that the newer one leaves."""


# test_upgrade.py updates a stack under the same requests. This one needs the machine for itself, minutes long.
@pytest.mark.deep
@pytest.mark.usefixtures("both_sets")
def test_one_update_from_the_tutorial_s_versions_to_the_current_ones_loses_nothing_nor_does_the_collector_s_way_back(
    deployed: Deployed, shared: Shared
) -> None:
    way = Way("tutorial", configuration_of("current"), reads_newer_queue=False)
    assert lost_on_the_way(way, deployed, shared) == ""


@pytest.mark.deep
@pytest.mark.usefixtures("next_collector")
def test_an_update_from_the_current_collector_to_the_next_loses_nothing_nor_does_the_way_back_with_full_queues(
    deployed: Deployed, shared: Shared
) -> None:
    way = Way("current", {COLLECTOR_IMAGE: NEXT_IMAGE}, reads_newer_queue=True)
    assert lost_on_the_way(way, deployed, shared) == ""


@pytest.mark.deep
@pytest.mark.usefixtures("both_sets")
def test_an_update_of_a_stateful_set_whose_pods_end_at_each_start_fails_with_the_reason(deployed: Deployed) -> None:
    stack = deployed("tutorial")
    # Tempo does not know the Collector's flag, and ends.
    stack.configure({COLLECTOR_IMAGE: configuration_of("tutorial")["tempo.image"]})
    done = stack.pulumi("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "error: otel-collector does not become Ready: " in done.stdout
    assert "kubectl --namespace tracing-versions-1 logs otel-collector-" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    stack.configure({COLLECTOR_IMAGE: configuration_of("tutorial")[COLLECTOR_IMAGE]})
    stack.up()


def lost_on_the_way(way: Way, deployed: Deployed, shared: Shared) -> str:
    """Returns what is lost on a way there and back; each measurement has a stack of its own."""
    return shared.what_goes_wrong(lambda: "; ".join(lost_there_and_back(way, deployed(way.first))))


def lost_there_and_back(way: Way, stack: Stack) -> list[str]:
    """Updates a stack to newer versions at once, takes the Collector back alone, and returns what was lost.

    The Collectors end with full queues on the way up, and on the way back if these are read. A Collector before 0.130
    does not read a newer one's queue, so Tempo has to take spans on the way back to it: one update of both lost half of
    what came meanwhile, 4800 of 10 000 spans.
    """
    stored = send_for(AROUND_SECONDS, stack.outputs()["nginxUrl"], RATE)
    lost = losses(stack, stored)
    sent = [stored, queued(stack), *updated(stack, way.there)]
    lost += losses(stack, *sent)
    if lost:
        return lost
    if way.reads_newer_queue:
        sent.append(queued(stack))
    sent += updated(stack, {COLLECTOR_IMAGE: configuration_of(way.first)[COLLECTOR_IMAGE]})
    return losses(stack, *sent)


def queued(stack: Stack) -> Sent:
    """Sends requests whose spans stay in the queues of the running Collectors, which no longer reach Tempo."""
    exported = spans_to_tempo(stack)
    cut_off(pods(stack.namespace, COMPONENTS["collector"]), OTLP_PORT)
    sent = send_for(AROUND_SECONDS, stack.outputs()["nginxUrl"], RATE)
    assert spans_to_tempo(stack) == exported
    return sent


def spans_to_tempo(stack: Stack) -> int:
    """Returns how many spans the running Collectors have sent."""
    return counter_of(stack, COMPONENTS["collector"], COLLECTOR_METRICS_PORT, SENT)


def updated(stack: Stack, configured: Mapping[str, str]) -> Sequence[Sent]:
    """Updates a stack to other images, and returns what two clients sent meanwhile and for some time afterwards.

    One of them keeps its connections, the other makes one for each request.
    """
    url = stack.outputs()["nginxUrl"]
    stack.configure(configured)
    with Traffic(url, RATE) as kept, Traffic(url, RATE, keepalive=False) as new:
        stack.up()
        time.sleep(AROUND_SECONDS)
    for key, name in COMPONENTS.items():
        image = configured.get(f"{key}.image")
        for pod in pods(stack.namespace, name) if image else ():
            assert image in [container["image"] for container in pod["spec"]["containers"]]
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

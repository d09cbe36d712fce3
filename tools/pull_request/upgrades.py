"""Lists the programs whose version a preview changes: from, to, whether pods roll, and whether there is a way back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from components.plan.labels import COLLECTOR, NGINX, TEMPO
from components.plan.pods import GATEWAY
from settings.versions import SETS, collector, nginx, tempo
from settings.versions.sets import DEFAULT
from settings.versions.support import dotted
from settings.versions.tags import release_of, version_of
from tools.pull_request.differences import KNOWN_LATER, UNKNOWN, Object, section
from tools.pull_request.preview_result import PreviewResult, Step

_WORKLOADS = {"Deployment": "pods roll", "StatefulSet": "pods are replaced one after the other"}
_TITLES = {TEMPO: "Tempo", GATEWAY: "NGINX, Tempo's gateway", COLLECTOR: "the Collector", NGINX: "NGINX"}
_NAMES = {TEMPO: tempo.NAMES, GATEWAY: nginx.NAMES, COLLECTOR: collector.NAMES, NGINX: nginx.NAMES}


@dataclass(frozen=True)
class Upgrade:
    """A program that gets another version."""

    program: str
    before: str
    after: str
    rollout: str
    """What happens to its pods."""

    warning: str = ""
    """Why there is no way back, or what is lost on this one; empty if nothing is."""


def upgrades(result: PreviewResult) -> list[Upgrade]:
    """Returns the programs whose image changes, in the order of the preview, each once for its workload."""
    built = _built_release(result)
    return [upgrade for step in result.steps if step.op in {"update", "replace"} for upgrade in _of_step(step, built)]


def _of_step(step: Step, built: str) -> Iterator[Upgrade]:
    old, new = (state.inputs if state else {} for state in (step.old_state, step.new_state))
    rollout = _WORKLOADS.get(str(new.get("kind")))
    if rollout is None:
        return
    before = _images(old)
    for name, image in _images(new).items():
        # The Collector's StatefulSet has the volumes of a persistent queue.
        is_queue = name == COLLECTOR and new["kind"] == "StatefulSet"
        if name in _TITLES and name in before and before[name] != image:
            yield Upgrade(
                _TITLES[name],
                _version(name, before[name], ""),
                _version(name, image, built),
                rollout,
                _lost_queue(before[name], image) if is_queue else _one_way(name, before[name], image),
            )


def _images(inputs: Object) -> dict[str, str]:
    """Returns the images of a workload's containers by their names."""
    pod = section(section(section(inputs, "spec"), "template"), "spec")
    containers = pod.get("containers")
    found = cast("list[Object]", containers) if isinstance(containers, list) else []
    return {str(container.get("name")): str(container.get("image")) for container in found}


def _version(container: str, image: str, built: str) -> str:
    """Returns the version that an image's tag shows, or the image itself."""
    if image == UNKNOWN:
        return built or KNOWN_LATER
    version = version_of(image, _NAMES[container])
    release = release_of(image) if container == NGINX and version is None else None
    return dotted(version) if version else f"Plus R{release}" if release else image


def _built_release(result: PreviewResult) -> str:
    """Returns the release of NGINX Plus that this deployment builds; empty if it builds none."""
    for step in result.steps:
        release = section(step.new_state.inputs if step.new_state else {}, "buildArgs").get("RELEASE")
        if isinstance(release, str):
            return f"Plus {release}"
    return ""


def _one_way(container: str, before: str, after: str) -> str:
    default = SETS[DEFAULT].tempo
    is_one_way = [container == TEMPO and tempo.tempo_release(image, default).is_one_way for image in (before, after)]
    if is_one_way == [False, True]:
        return "There is no way back: Tempo 2 does not read what Tempo 3 has written."
    if is_one_way == [True, False]:
        return "Tempo 2 does not read what Tempo 3 has written: the traces on a volume are lost to it."
    return ""


def _lost_queue(before: str, after: str) -> str:
    default = SETS[DEFAULT].collector
    old, new = (collector.collector_release(image, default) for image in (before, after))
    if old.has_queue_record and not new.has_queue_record:
        return (
            "Change it alone, and while its queue is empty: "
            f"{dotted(new.version)} does not send what a newer Collector left there."
        )
    return ""

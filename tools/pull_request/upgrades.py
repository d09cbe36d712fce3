"""Lists the programs whose version a preview changes: from, to, whether pods roll, and whether there is a way back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from components.documents.nginx import LICENSE_FOLDER
from components.plan.labels import COLLECTOR, GRAFANA, NGINX, PROMETHEUS, TEMPO
from components.plan.pods import GATEWAY
from settings.types import IMAGE_REFERENCE
from settings.versions import collector, grafana, nginx, prometheus, tempo
from settings.versions.support import Version, dotted, row_of
from settings.versions.tags import FIRST_WITH_MINOR, version_of
from tools.pull_request.differences import KNOWN_LATER, UNKNOWN, Object, section
from tools.pull_request.preview_result import PreviewResult, State

_WORKLOADS = {"Deployment": "pods roll", "StatefulSet": "pods are replaced one after the other"}
_TITLES = {
    TEMPO: "Tempo",
    GATEWAY: "NGINX, Tempo's gateway",
    COLLECTOR: "the Collector",
    NGINX: "NGINX",
    PROMETHEUS: "Prometheus",
    GRAFANA: "Grafana",
}


@dataclass(frozen=True)
class Upgrade:
    """A program that gets another version."""

    program: str
    before: str
    after: str
    rollout: str
    """Whether and how its pods roll."""

    warning: str = ""
    """Why there is no way back, or what is lost on this one; empty if nothing is, or a version is unknown."""


@dataclass(frozen=True)
class _Program:
    """A program in a workload of the stack."""

    container: str
    image: str
    is_plus: bool
    kind: str
    """The workload's."""

    @property
    def has_volume(self) -> bool:
        """Whether what it has written outlives its pod: this program gives a volume to StatefulSets alone."""
        return self.kind == "StatefulSet"

    @property
    def version(self) -> Version | None:
        """The version that the image's tag shows; None for another tag, and for NGINX Plus."""
        if self.container == COLLECTOR:
            return collector.collector_release(self.image, default=()).version or None
        if self.is_plus:
            return None
        own = {TEMPO: tempo.NAMES, PROMETHEUS: prometheus.NAMES, GRAFANA: grafana.NAMES}
        names = own.get(self.container, nginx.NAMES)
        return version_of(self.image, names)

    def named(self, built: str) -> str:
        """Returns the version as text, or the image itself if its tag shows none.

        Args:
            built: the release of NGINX Plus that this deployment builds.
        """
        if self.image == UNKNOWN:
            return built or KNOWN_LATER
        if self.version:
            return dotted(self.version)
        return (_plus_release(self.image) if self.is_plus else "") or self.image


def upgrades(result: PreviewResult) -> list[Upgrade]:
    """Returns the programs that get another version, in the order of the preview, each once for its workload.

    Several workloads with the same change are named once, such as the parts of Tempo.

    An image that shows no version counts as another one if more than its registry differs.
    """
    built = _built_release(result)
    found = [
        Upgrade(
            _TITLES[after.container],
            before.named(built),
            after.named(built),
            _rollout(before, after),
            _warning(before, after),
        )
        for before, after in _pairs(result)
        if _without_folder(before.named(built)) != _without_folder(after.named(built))
    ]
    return list(dict.fromkeys(found))


def _pairs(result: PreviewResult) -> Iterator[tuple[_Program, _Program]]:
    """Yields each program as it runs and as it will, if it does both."""
    # A component that gets a volume, or loses it, has its Deployment deleted and a StatefulSet created, or the reverse.
    deleted = {
        name: program for step in result.steps if step.op == "delete" for name, program in _programs(step.old_state)
    }
    for step in result.steps:
        if step.op in {"create", "update", "replace"}:
            before = deleted if step.op == "create" else dict(_programs(step.old_state))
            yield from ((before[name], program) for name, program in _programs(step.new_state) if name in before)


def _programs(state: State | None) -> Iterator[tuple[str, _Program]]:
    """Yields the programs of a workload by their containers' names; none of another resource."""
    inputs = state.inputs if state else {}
    kind = str(inputs.get("kind"))
    containers = section(section(section(inputs, "spec"), "template"), "spec").get("containers")
    if kind not in _WORKLOADS or not isinstance(containers, list):
        return
    for container in cast("list[Object]", containers):
        name, mounts = str(container.get("name")), cast("list[Object]", container.get("volumeMounts") or [])
        if name in _TITLES:
            is_plus = any(mount.get("mountPath") == LICENSE_FOLDER for mount in mounts)
            yield name, _Program(name, str(container.get("image")), is_plus, kind)


def _without_folder(image: str) -> str:
    """Returns what is left of an image's reference without its registry and folder; a version stays as it is."""
    return image.rsplit("/", 1)[-1]


def _plus_release(image: str) -> str:
    """Returns the release of NGINX Plus in a tag such as `R34`, `r34-p1-debian`, `R37.0` or `37.0.8.1-debian`."""
    reference = IMAGE_REFERENCE.fullmatch(image)
    tag = (reference["tag"] if reference else None) or ""
    found = re.match(r"([Rr]?)(\d{2})((?:\.\d+)*)(-[Pp]\d+)?(?![\w.])", tag)
    # Without the letter, `24.10` is anything: F5's tags have numbers alone since the releases have two.
    if found is None or not (found[1] or (found[3] and int(found[2]) >= FIRST_WITH_MINOR)):
        return ""
    return f"Plus R{found[2]}{found[3]}{(found[4] or '').upper()}"


def _built_release(result: PreviewResult) -> str:
    """Returns the release of NGINX Plus that this deployment builds; empty if it builds none."""
    for step in result.steps:
        release = section(step.new_state.inputs if step.new_state else {}, "buildArgs").get("RELEASE")
        if isinstance(release, str):
            return f"Plus {release}"
    return ""


def _rollout(before: _Program, after: _Program) -> str:
    if before.kind != after.kind:
        return f"a {after.kind} takes the place of the {before.kind}"
    return _WORKLOADS[after.kind]


def _warning(before: _Program, after: _Program) -> str:
    """Returns what a change of versions does to what is on the volume."""
    if not before.version or not after.version or not after.has_volume:
        return ""
    if after.container == TEMPO:
        return _one_way(before.version, after.version, keeps_traces=before.has_volume)
    if after.container == COLLECTOR and before.has_volume:
        return _lost_queue(before.version, after.version)
    return ""


def _one_way(before: Version, after: Version, *, keeps_traces: bool) -> str:
    was, will_be = (row_of(tempo.TABLE, version).is_one_way for version in (before, after))
    if will_be and not was:
        return "There is no way back: Tempo 2 does not read what Tempo 3 has written."
    if was and not will_be and keeps_traces:
        return "Tempo 2 does not read what Tempo 3 has written: the traces on the volume are lost to it."
    return ""


def _lost_queue(before: Version, after: Version) -> str:
    old, new = (collector.CollectorRelease(version) for version in (before, after))
    if old.has_queue_record and not new.has_queue_record:
        return (
            "Change it alone, and while its queue is empty: "
            f"{dotted(after)} does not send what a newer Collector left there."
        )
    return ""

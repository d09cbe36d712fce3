"""Reads CPU time and memory of a component's processes from the kernel of the lab's node."""

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.plan.labels import PART_LABEL
from lab.waiting import wait_until
from tools.measure.faults.inject import must

COMPONENTS = ("nginx", "otel-collector", "tempo")
"""The names of the containers."""

IDLE_CORES = 0.1
_IDLE_SECONDS = 2.0
_IDLE_LIMIT_SECONDS = 180
"""All pods of a namespace together use less when they are idle. The three numbers are our choice."""

_TICKS = os.sysconf("SC_CLK_TCK")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Holds what the processes of all pods of a component have used since they started."""

    cpu_seconds: float
    peak_bytes: int
    """The sum of each process's highest resident memory. Shared pages count once for each process."""


def processes(namespace: str, component: str) -> Iterator[Path]:
    """Yields the folders in /proc of the processes of all containers of a component, or of a part of Tempo."""
    containers = [
        status["containerID"].split("//")[1]
        for pod in _pods(namespace)
        for status in pod["status"]["containerStatuses"]
        if component in {status["name"], f"{status['name']}-{pod['metadata']['labels'].get(PART_LABEL)}"}
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(container in (process / "cgroup").read_text() for container in containers):
                yield process
        except (FileNotFoundError, ProcessLookupError):
            continue


def usage(namespace: str, component: str) -> Usage:
    """Reads the usage of all containers of a component. Processes that have ended are not counted."""
    used: list[Usage] = []
    for process in processes(namespace, component):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used.append(usage_of(process))
    return Usage(sum(each.cpu_seconds for each in used), sum(each.peak_bytes for each in used))


def usage_of(process: Path) -> Usage:
    """Reads the usage of one process.

    Args:
        process: its folder in `/proc`.

    Raises:
        FileNotFoundError, ProcessLookupError: it has ended.
    """
    # The fields after the name in brackets, which may hold anything. proc(5) numbers them from 3 on; 14 and 15 are
    # utime and stime.
    fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
    found = _PEAK.search((process / "status").read_text())
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(found[1]) * 1024 if found else 0)


def wait_until_idle(namespace: str, cores: float = IDLE_CORES) -> None:
    """Waits until no pod of a namespace is terminating, and all of them together use little.

    Args:
        namespace: the pods'.
        cores: they use less than that.

    Raises:
        LabError: the pods were still busy after the time limit.
    """

    def is_idle() -> bool:
        if any("deletionTimestamp" in pod["metadata"] for pod in _pods(namespace)):
            return False
        before = sum(usage(namespace, component).cpu_seconds for component in COMPONENTS)
        time.sleep(_IDLE_SECONDS)
        return sum(usage(namespace, component).cpu_seconds for component in COMPONENTS) - before < cores * _IDLE_SECONDS

    wait_until(
        is_idle, f"The pods of {namespace} were still busy after {_IDLE_LIMIT_SECONDS} s.", seconds=_IDLE_LIMIT_SECONDS
    )


def _pods(namespace: str) -> list[dict[str, Any]]:
    return json.loads(must("get", "pods", f"--namespace={namespace}", "--output=json"))["items"]

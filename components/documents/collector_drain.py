"""Builds the command with which a Collector that ends sends what its volume holds."""

from math import ceil
from pathlib import Path

from components.documents.collector import AGE_GRACE, FOLDER, METRICS_PORT, connection_age
from settings.collector import CollectorSettings
from settings.limits import batch_bytes

DRAIN_FILE = "drain.sh"
TOOLS_FOLDER = "/tools"
BUSYBOX = f"{TOOLS_FOLDER}/busybox"
_LOG = "/proc/1/fd/1"
"""The Collector's own log: its standard output, as the container's first process."""


def drain_script() -> str:
    """Returns the script, which the Collector's container runs before it ends."""
    return (Path(__file__).parent / DRAIN_FILE).read_text()


def copying_busybox() -> str:
    """Returns the script that copies busybox to where the Collector's container finds it.

    One that needs a loader, as Alpine's, would not run there, and it would show only when a pod ends without draining.
    A program that needs one names it behind the table of its parts, within the first page.
    """
    own = "/bin/busybox"
    needs = f"{own} head -c 4096 {own} | {own} tr '\\000' '\\n' | {own} grep -q '^/.*/ld[-.6]'"
    told = (
        "/bin/busybox of this image needs libraries that the Collector's image does not have. "
        "Set collector.queue.drain.image to one with a static busybox, such as busybox:1.37.0-musl"
    )
    return f'if {needs}; then echo "{told}"; exit 1; fi; {own} cp {own} {BUSYBOX}'


def drain_command(settings: CollectorSettings, delay: int) -> list[str]:
    """Returns the command of the preStop hook.

    Args:
        settings: the Collector's settings.
        delay: the seconds before it looks for the first time. Nodes learn of the pod's end meanwhile.
    """
    # Without other replicas, clients keep their connections until the pod ends.
    leave = ceil(age * 1.1) + AGE_GRACE if (age := connection_age(settings)) else 0
    numbers = [delay, settings.queue.drain_seconds, leave, settings.settled_seconds, _batch(settings)]
    return [BUSYBOX, "sh", f"{FOLDER}/{DRAIN_FILE}", BUSYBOX, str(METRICS_PORT), _LOG, *map(str, numbers)]


def _batch(settings: CollectorSettings) -> int:
    """Returns the size from which on the queues hold more than what is being gathered and sent: that of a batch.

    Before 0.130 the queue counts exports, and nothing gathers them.
    """
    return batch_bytes(settings) if settings.release.sizes_persistent_queue else 2

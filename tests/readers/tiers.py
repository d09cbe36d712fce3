"""Runs two tiers of the lab's Collectors on loopback, with the documents of the program.

Each decider has an address of its own, and all have one port. The name of their Service is in a hosts file that the
first tier alone sees: its resolver, which the program's document configures, reads that file before it asks a
nameserver. A nameserver's own delay is not covered.
"""

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.documents.collector_tiers import first_tier_document, second_tier_document
from settings import CollectorSettings
from settings.collector_tiers import first_tier, second_tier
from tests.otlp import Receiver, free_port
from tests.readers.collectors import NGINX_EXPORTS, Running, run
from tests.waiting import wait_for
from tools.probe.metrics import parse_metrics

SERVICE = "otel-collector-decider.tracing.svc"
BACKENDS = "otelcol_loadbalancer_num_backends"


@dataclass
class Tiers:
    """Holds two tiers that run, and a receiver in Tempo's place for each decider."""

    folder: Path
    settings: CollectorSettings
    hosts: Path
    port: int = field(default_factory=free_port)
    senders: list[Running] = field(default_factory=list[Running])
    deciders: dict[str, Running] = field(default_factory=dict[str, Running])
    """By their addresses."""
    tempos: dict[str, Receiver] = field(default_factory=dict[str, Receiver])
    """What each decider sent, by its address."""

    def publish(self, *addresses: str) -> None:
        """Has DNS tell of some deciders, and waits until every Collector of the first tier knows them."""
        # Written in place: the file is mounted.
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{one} {SERVICE}\n" for one in addresses))
        wait_for(f"{len(addresses)} deciders", lambda: all(known(one) == len(addresses) for one in self.senders), 20)

    def decided(self) -> dict[str, dict[str, list[str]]]:
        """Returns the names of the spans that were sent on, by the trace's ID and the decider's address."""
        found: dict[str, dict[str, list[str]]] = {}
        for address, tempo in self.tempos.items():
            for span in list(tempo.spans):
                found.setdefault(span.trace_id, {}).setdefault(address, []).append(span.name)
        return found


def known(sender: Running) -> float:
    """Returns the number of deciders that a Collector of the first tier sends to."""
    return sum(parse_metrics(sender.counters(), {BACKENDS}).values())


@contextlib.contextmanager
def decider(tiers: Tiers, address: str) -> Generator[Running]:
    """Runs a decider at an address. The first tier does not know it before `publish`."""
    tempo = tiers.tempos.get(address) or Receiver()
    tiers.tempos[address] = tempo
    own = second_tier(tiers.settings)
    document = second_tier_document(
        tiers.settings, backend=f"127.0.0.1:{tempo.port}", namespace="tracing", exports=NGINX_EXPORTS
    )
    folder = tiers.folder / address
    folder.mkdir(exist_ok=True)
    with run(document, own, folder, listen=(address, tiers.port)) as running:
        tiers.deciders[address] = running
        yield running


@contextlib.contextmanager
def two_tiers(
    image: str, folder: Path, senders: int, *addresses: str, tail: Mapping[str, Any], batch: int = 2048
) -> Generator[Tiers]:
    """Runs a first tier and deciders.

    Args:
        image: the image of one of the lab's Collectors.
        folder: the folder for their files.
        senders: the number of Collectors of the first tier.
        addresses: the deciders' addresses.
        tail: the keys of `collector.sampling.tail`.
        batch: the spans of a message to a backend.
    """
    settings = CollectorSettings.model_validate(
        {
            "image": image,
            "distribution": "k8s",
            "replicas": max(2, senders),
            "batch": {"size": batch},
            "sampling": {"tail": tail},
        }
    )
    tiers = Tiers(folder, settings, folder / "hosts")
    tiers.hosts.touch()
    mounted = f"mount --bind {tiers.hosts} /etc/hosts && exec"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mounted} "$@"', "sh"]
    document = first_tier_document(settings, deciders=SERVICE, namespace="tracing")
    (exporter,) = document["exporters"].values()
    exporter["resolver"]["dns"]["port"] = str(tiers.port)
    with contextlib.ExitStack() as running:
        for address in addresses:
            running.enter_context(decider(tiers, address))
        for number in range(senders):
            own = folder / f"sender-{number}"
            own.mkdir()
            tiers.senders.append(running.enter_context(run(document, first_tier(settings), own, inside=inside)))
        tiers.publish(*addresses)
        yield tiers
        for tempo in tiers.tempos.values():
            tempo.stop()

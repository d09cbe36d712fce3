"""Runs the lab's Tempo in parts on loopback, each part at an address of its own, with the document of the program."""

import contextlib
import ipaddress
import json
import secrets
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from components.documents import Document
from components.documents.tempo import DATA, HTTP_PORT, LOOPBACK, OTLP_PORT, tempo_document
from components.documents.tempo_parts import GOSSIP_PORT, GRPC_PORT, POD_ADDRESS, arguments, parts_document
from components.documents.tempo_storage import storage_access
from lab.build.targets import TEMPO
from settings import Settings, TempoSettings
from settings.tempo_parts import COMPACTOR, DISTRIBUTOR, INGESTER, METRICS_GENERATOR, QUERIER, QUERY_FRONTEND
from tests.otlp import free_port
from tests.readers.spans import message, requests
from tests.readers.storage import Bucket
from tests.waiting import wait_for
from tools.lab_bucket import KEYS
from tools.measure.configurations.documents import LAB_TEMPO
from tools.measure.traces import missing
from tools.measure.traffic import Sent
from tools.running import answers

INGESTERS = tuple(f"{INGESTER}-{number}" for number in range(3))
PARTS = (*INGESTERS, DISTRIBUTOR, QUERY_FRONTEND, QUERIER, COMPACTOR, METRICS_GENERATOR)
SOON = {"blocklistPoll": "1s", "completeBlockTimeout": "2s"}
"""By then an ingester has forgotten a block that it wrote to the bucket, and a querier knows that it is there."""


@dataclass
class Part:
    """A process of a part."""

    name: str
    address: str
    folder: Path
    document: Document
    variables: Mapping[str, str]
    zone: str | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Returns the address of its HTTP server."""
        return f"http://{self.address}:{HTTP_PORT}"

    @property
    def target(self) -> str:
        """Returns the part that it is."""
        return self.name.rstrip("-0123456789")

    @property
    def log(self) -> Path:
        """Returns the file of its output."""
        return self.folder / "log"

    def start(self) -> None:
        """Starts it, with its folder as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "tempo.yaml"
        file.write_text(yaml.safe_dump(self.document))
        command = [str(TEMPO.folder / "tempo"), f"-config.file={file}", *arguments(self.target, self.zone)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=subprocess.STDOUT)

    def _environment(self) -> dict[str, str]:
        return {POD_ADDRESS: self.address, **self.variables}

    def is_ready(self) -> bool:
        """Tells whether it says that it is ready; fails the test if it has ended."""
        assert self.process
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return answers(f"{self.url}/ready")

    def kill(self) -> None:
        """Kills it, as a node does that loses its power."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def end(self, seconds: float = 60) -> None:
        """Asks it to end, and waits."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)


@dataclass
class RunningParts:
    """Holds the parts that run."""

    parts: dict[str, Part]

    def end_and_forget(self, *names: str) -> None:
        """Asks parts to end, one after another, and deletes their folders, as after a volume was deleted."""
        for name in names:
            self.parts[name].end()
            shutil.rmtree(self.parts[name].folder)

    @property
    def url(self) -> str:
        """Returns the address that queries go to."""
        return self.parts[QUERY_FRONTEND].url

    @property
    def receiver(self) -> str:
        """Returns the address that spans go to."""
        return f"{self.parts[DISTRIBUTOR].address}:{OTLP_PORT}"

    def start(self, *names: str) -> None:
        """Starts parts, and waits until they are ready."""
        for name in names:
            self.parts[name].start()
        for name in names:
            wait_for(f"{name}; its log is {self.parts[name].log}", self.parts[name].is_ready, 90)

    def lookup(self, trace_id: str) -> int:
        """Returns the status of a look-up by ID."""
        return httpx.get(f"{self.url}/api/traces/{trace_id}", timeout=60, trust_env=False).status_code


@contextlib.contextmanager
def running_parts(
    folder: Path,
    bucket: Bucket,
    *,
    names: Sequence[str] = PARTS,
    later: Sequence[str] = (),
    before: Callable[[RunningParts], None] | None = None,
    **configured: Any,
) -> Generator[RunningParts]:
    """Runs Tempo in parts with the document of a configuration.

    Args:
        folder: a folder for its files.
        bucket: where its blocks go.
        names: the parts: Tempo's name for each, with a number for each ingester.
        later: those of them that the test itself starts.
        before: what is done before the parts start, such as to fill a folder.
        configured: the keys of `tempo` besides those that a distributed one needs.
    """
    settings, variables = _configured(bucket, mode="distributed", **configured)
    # The network 127.0.0.0/8 is this machine's: other tests' parts have other addresses.
    network = ipaddress.ip_address("127.1.0.0") + secrets.randbelow(0xFD0000) // 256 * 256
    addresses = {name: str(network + number) for number, name in enumerate(names, 1)}
    ring = [f"{address}:{GOSSIP_PORT}" for address in addresses.values()]
    tempo = RunningParts({})
    zones = settings.ingester.zones
    for name, address in addresses.items():
        document = parts_document(
            settings,
            (),
            cluster=folder.name,
            ring="ring:7946",
            query_frontend=f"{addresses[QUERY_FRONTEND]}:{GRPC_PORT}",
        )
        own = folder / name
        tempo.parts[name] = Part(name, address, own, _at(document, address, own, ring), variables)
        if zones and tempo.parts[name].target == INGESTER:
            tempo.parts[name].zone = zones[int(name.rpartition("-")[2]) % len(zones)]
    if before:
        before(tempo)
    try:
        tempo.start(*(name for name in names if name not in later))
        yield tempo
    finally:
        for part in tempo.parts.values():
            if part.process:
                part.kill()


def _configured(bucket: Bucket, **configured: Any) -> tuple[TempoSettings, Mapping[str, str]]:
    """Returns Tempo's settings with a bucket, and the variables that its pods get for it."""
    tempo = {"image": LAB_TEMPO, "storage": bucket.storage, "persistence": {"size": "1Gi"}, **configured}
    settings = Settings.model_validate({"tempo": tempo, **KEYS})
    return settings.tempo, storage_access(settings).variables


def _at(document: Document, address: str, folder: Path, ring: Sequence[str] = ()) -> Document:
    """Returns a document for one of several pods on this machine."""
    document = json.loads(json.dumps(document).replace(f'"{DATA}/', f'"{folder}/'))
    document["server"] |= {"http_listen_address": address, "grpc_listen_address": address}
    document["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = f"{address}:{OTLP_PORT}"
    if ring:
        # A pod's ID in the rings is its host name.
        document["ingester"]["lifecycler"]["id"] = folder.name
        for part in (DISTRIBUTOR, COMPACTOR, METRICS_GENERATOR):
            document.get(part.replace("-", "_"), {}).get("ring", {})["instance_id"] = folder.name
        document["memberlist"] |= {"bind_addr": [address], "join_members": list(ring)}
    return document


@dataclass
class Traffic:
    """Sends spans at a constant rate until it is stopped, each once: what fails is not sent again."""

    receiver: str
    sent: Sent = field(default_factory=lambda: Sent(EXPORT_SPANS / EXPORT_SECONDS))
    """The traces of the exports, each of which has one span."""

    codes: list[str] = field(default_factory=list[str])
    """The codes of the exports that failed, by gRPC's names."""

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    @property
    def accepted(self) -> int:
        """Returns the number of traces that were accepted."""
        return len(self.sent.answered)

    def stop(self) -> None:
        """Ends it, after the export that is under way."""
        self._end.set()
        self._thread.join()

    def _send(self) -> None:
        with grpc.insecure_channel(self.receiver) as channel:
            stub: Any = TraceServiceStub(channel)
            due = time.monotonic()
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due += EXPORT_SECONDS
                spans = requests(EXPORT_SPANS)
                traces = [span.trace_id for span in spans]
                self.sent.started.append(time.time())
                try:
                    stub.Export(message(spans), timeout=30, wait_for_ready=True)
                    self.sent.answered += traces
                except grpc.RpcError as error:
                    self.sent.failed |= dict.fromkeys(traces, str(error))
                    self.codes.append(error.code().name)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportAttributeAccessIssue]


def found(tempo: RunningParts, sent: Traffic) -> None:
    """Fails the test unless each trace that was accepted is found by search, and some by ID."""
    assert missing(tempo.url, sent.sent, patience_seconds=30) == []
    for trace_id in sent.sent.answered[::100]:
        assert tempo.lookup(trace_id) == 200


EXPORT_SPANS, EXPORT_SECONDS = 40, 0.1
"""400 spans a second, as the Collector batches them."""


@contextlib.contextmanager
def traffic(tempo: "RunningParts | One") -> Generator[Traffic]:
    """Sends spans while a part of a test runs."""
    running = Traffic(tempo.receiver)
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class One:
    """A monolithic Tempo."""

    part: Part

    @property
    def receiver(self) -> str:
        """Returns the address that spans go to."""
        return f"{self.part.address}:{OTLP_PORT}"

    @property
    def url(self) -> str:
        """Returns the address that queries go to."""
        return self.part.url


@contextlib.contextmanager
def monolith(tempo: RunningParts, bucket: Bucket, **configured: Any) -> Generator[One]:
    """Runs a monolithic Tempo in the folder of the first ingester, with the bucket of the parts, and kills it."""
    first = tempo.parts[INGESTERS[0]]
    settings, variables = _configured(bucket, **configured)
    document = _at(tempo_document(settings), first.address, first.folder)
    # Its parts look for each other on 127.0.0.1.
    document["server"] |= {"grpc_listen_address": LOOPBACK, "grpc_listen_port": free_port()}
    part = Part("all", first.address, first.folder, document, variables)
    part.start()
    try:
        wait_for("a monolithic Tempo", part.is_ready, 60)
        yield One(part)
    finally:
        part.kill()

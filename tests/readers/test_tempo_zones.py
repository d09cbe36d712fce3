"""Tests a Tempo whose ingesters are in zones, on loopback: a zone that is away, and a change to zones and back."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from settings.tempo_parts import COMPACTOR, DISTRIBUTOR, INGESTER, QUERIER, QUERY_FRONTEND
from tests.readers.storage import Bucket
from tests.readers.tempo_parts import SOON, RunningParts, found, running_parts, traffic
from tests.waiting import wait_for

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
OTHERS = (DISTRIBUTOR, QUERY_FRONTEND, QUERIER, COMPACTOR)
SIX = tuple(f"{INGESTER}-{number}" for number in range(6))
IN_ONE_ZONE = (SIX[0], SIX[3])

# Ten Tempos on two cores take a minute. test_documents.py has Tempo verify the document.
pytestmark = pytest.mark.deep


def test_spans_are_accepted_and_found_while_all_ingesters_of_a_zone_are_away(bucket: Bucket, tmp_path: Path) -> None:
    ingester = {"replicas": 6, "zones": ZONES}
    with running_parts(
        tmp_path, bucket, names=[*SIX, *OTHERS], ingester=ingester, flush=SOON, traceqlMetrics=False
    ) as tempo:
        with traffic(tempo) as sent:
            wait_for("spans before", lambda: sent.accepted > 1000, 30)
            for name in IN_ONE_ZONE:
                tempo.parts[name].kill()
            so_far = sent.accepted
            wait_for("spans after", lambda: sent.accepted > so_far + 4000, 60)
        assert sent.sent.reasons() == {}
        found(tempo, sent)


def test_a_change_to_zones_and_back_loses_nothing(bucket: Bucket, tmp_path: Path) -> None:
    without, zoned = SIX[:3], SIX[3:]
    ingester = {"replicas": 3, "zones": ZONES}

    def as_before(tempo: RunningParts) -> None:
        configure(tempo, (*without, *OTHERS), has_zones=False)
        for name in without:
            tempo.parts[name].zone = None

    with running_parts(
        tmp_path,
        bucket,
        names=[*without, *zoned, *OTHERS],
        later=zoned,
        before=as_before,
        ingester=ingester,
        flush=SOON,
        traceqlMetrics=False,
    ) as tempo:
        with traffic(tempo) as sent:
            wait_for("spans before", lambda: sent.accepted > 400, 30)
            # Pulumi makes one zone after another, and updates the other parts meanwhile.
            tempo.start(zoned[0])
            replace(tempo, has_zones=True)
            for name in zoned[1:]:
                tempo.start(name)
            # It removes the StatefulSet at last, and all of its pods end at once.
            end(tempo, without)
            so_far = sent.accepted
            wait_for("spans after", lambda: sent.accepted > so_far + 400, 60)
        assert set(sent.codes) <= {"UNAVAILABLE"}
        found(tempo, sent)
        with traffic(tempo) as sent:
            wait_for("spans before", lambda: sent.accepted > 400, 30)
            tempo.start(*without)
            replace(tempo, has_zones=False)
            for name in reversed(zoned):
                end(tempo, [name])
            so_far = sent.accepted
            wait_for("spans after", lambda: sent.accepted > so_far + 400, 60)
        assert set(sent.codes) <= {"UNAVAILABLE"}
        found(tempo, sent)


def replace(tempo: RunningParts, *, has_zones: bool) -> None:
    """Replaces the parts that read the ingesters' ring by ones with another document."""
    configure(tempo, (DISTRIBUTOR, QUERIER), has_zones=has_zones)
    tempo.parts[DISTRIBUTOR].end()
    # A querier that was asked something takes all of its time to end, and holds nothing.
    tempo.parts[QUERIER].kill()
    tempo.start(DISTRIBUTOR, QUERIER)


def configure(tempo: RunningParts, names: Sequence[str], *, has_zones: bool) -> None:
    """Gives parts the document with zones, or the one without."""
    for name in names:
        ring = tempo.parts[name].document["ingester"]["lifecycler"]["ring"]
        ring.pop("zone_awareness_enabled", None)
        if has_zones:
            ring["zone_awareness_enabled"] = True


def end(tempo: RunningParts, names: Sequence[str]) -> None:
    """Asks parts to end at once, and waits."""
    for name in names:
        process = tempo.parts[name].process
        assert process
        process.send_signal(signal.SIGTERM)
    for name in names:
        process = tempo.parts[name].process
        assert process
        process.wait(60)

"""Packs spans of many sizes into messages, and counts those that are found whole."""

import asyncio
import os

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from settings.limits import RECEIVER
from tools.measure import sizes
from tools.measure.sizes import SIZES, messages
from tools.tempo import LookUpError


@pytest.mark.parametrize("size", SIZES)
def test_every_span_is_in_one_message_and_no_message_is_larger_than_the_collector_takes(size: int) -> None:
    sent = {os.urandom(16): os.urandom(size // 2).hex() for _ in range(25)}
    made = list(messages(sent, size))
    spans = [span for message in made for span in message.resource_spans[0].scope_spans[0].spans]
    assert {span.trace_id: span.attributes[0].value.string_value for span in spans} == sent
    assert len(spans) == 25
    assert max(message.ByteSize() for message in made) <= RECEIVER


class HalfATempo:
    """Has the first trace whole, the second one with its text cut, and no third."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        """Connects to nothing."""

    async def __aenter__(self) -> "HalfATempo":
        """Opens nothing."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes nothing."""

    async def trace(self, trace_id: str) -> TracesData:
        """Returns a trace, or none."""
        if trace_id.startswith("03"):
            raise LookUpError("HTTP 503")
        found = TracesData()
        attribute = found.resource_spans.add().scope_spans.add().spans.add().attributes.add()
        attribute.value.string_value = "whole" if trace_id.startswith("01") else "who"
        return found


def test_a_span_counts_as_found_if_its_text_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "Tempo", HalfATempo)
    monkeypatch.setattr(sizes, "FOUND_SECONDS", 0)
    sent = {bytes([number]) * 16: "whole" for number in (1, 2, 3)}
    assert asyncio.run(sizes.found_whole("http://tempo.example", sent)) == 1

"""Packs spans of many sizes into messages."""

import os

import pytest

from settings.limits import RECEIVER
from tools.measure.sizes import SIZES, messages


@pytest.mark.parametrize("size", SIZES)
def test_every_span_is_in_one_message_and_no_message_is_larger_than_the_collector_takes(size: int) -> None:
    sent = {os.urandom(16): os.urandom(size // 2).hex() for _ in range(25)}
    made = list(messages(sent, size))
    spans = [span for message in made for span in message.resource_spans[0].scope_spans[0].spans]
    assert {span.trace_id: span.attributes[0].value.string_value for span in spans} == sent
    assert len(spans) == 25
    assert max(message.ByteSize() for message in made) <= RECEIVER

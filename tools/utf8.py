"""Repairs text in protobuf messages: Go's programs pass on text that is not UTF-8, and Python's protobuf refuses it."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""How a field is written: https://protobuf.dev/programming-guides/encoding/#structure."""


def repaired(message: bytes, kind: Descriptor) -> bytes:
    """Returns a message with U+FFFD in its texts for what is not UTF-8.

    Raises:
        DecodeError: it is no message.
    """
    try:
        return _repaired(message, kind)
    except (IndexError, RecursionError):
        raise DecodeError("no message of protobuf") from None


def _repaired(message: bytes, kind: Descriptor) -> bytes:
    made, at = bytearray(), 0
    while at < len(message):
        begin = at
        tag, at = _number(message, at)
        if tag & 7 != _BYTES:
            at = _end(message, at, tag & 7)
            made += message[begin:at]
            continue
        made += message[begin:at]
        length, at = _number(message, at)
        if at + length > len(message):
            raise DecodeError("a part of the message is missing")
        content = _content(message[at : at + length], kind.fields_by_number.get(tag >> 3))
        made += _written(len(content)) + content
        at += length
    return bytes(made)


def _content(content: bytes, field: FieldDescriptor | None) -> bytes:
    if field and field.type == FieldDescriptor.TYPE_STRING:
        return content.decode(errors="replace").encode()
    return _repaired(content, field.message_type) if field and field.message_type else content


def _end(message: bytes, at: int, written: int) -> int:
    """Returns where a field ends that is a number."""
    if written == _VARINT:
        return _number(message, at)[1]
    if written not in (_FIXED64, _FIXED32):
        raise DecodeError("no message of protobuf")
    return at + (8 if written == _FIXED64 else 4)


def _number(message: bytes, at: int) -> tuple[int, int]:
    """Returns a number of 7 bits in each byte, the lowest first, and where it ends."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1


def _written(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])

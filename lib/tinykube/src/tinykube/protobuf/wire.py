"""Protobuf's wire format: a message is a list of numbered values.

The contract is https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator

Value = int | bytes
"""What stands on the wire: a number, or the bytes of a string, a message or eight bytes."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_LONGEST = 10  # bytes of a number of 64 bits


class WireError(ValueError):
    """The bytes are not a message of the kind that they should be."""


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The numbers and values of a message, as they come.

    Raises:
        WireError: the message is cut off, or not one.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value: Value
            value, at = _varint(data, at)
        else:
            if kind == _BYTES:
                size, at = _varint(data, at)
            elif kind in _WIDTH:
                size = _WIDTH[kind]
            else:
                raise WireError(f"field {number} has the unknown wire type {kind}")
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise WireError(f"field {number} is cut off")
        yield number, value


def signed(value: int) -> int:
    """A number of the wire as the signed one that it stands for (int32 and int64)."""
    return value - 2**64 if value >= 2**63 else value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at + index + 1
    raise WireError(f"the number at byte {at} is cut off or too large")

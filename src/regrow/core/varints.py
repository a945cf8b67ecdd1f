"""Whole numbers of any size as bytes: seven bits per byte, low bits first, top bit: more follow (LEB128)."""

from __future__ import annotations


def encode_varint(value: int) -> bytes:
    """The bytes of a number from 0 on."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes | memoryview, at: int, bits: int = 35) -> tuple[int, int]:
    """The number at `at` and the place after it; ValueError if it is cut short or has more than `bits` bits, rounded up
    to sevens."""
    value = 0
    for shift in range(0, bits, 7):
        if at >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too large")

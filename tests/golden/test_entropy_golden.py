"""Coded integers are a promise: an artifact written today loads with every later release, on every machine.

A change here is a new format number in the first byte, never an edited constant.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from regrow.artifact.int_coder import decode_ints, encode_ints

CODED = [
    (
        np.array([[-1, 0, 1], [127, -127, 0]], np.int8),
        "0100020203fd01fe0100020401ff7e7bfcfd0433af3b28",
    ),
    (
        np.arange(100, dtype=np.uint8).reshape(10, 10) % 7,
        "0101020a0a000603094e5a1c07ec11e98112683c865291fd36bf35d855b55b3db31ed59c21bf0b3dab65f015e4bcb7fe67",
    ),
    (np.array([0, 65535, 300], np.uint16), "0103010300ffff03000002002cff00ff00d5fd4b34931f"),
    (np.zeros((2, 0, 3), np.int32), "0104030200030000006f1aad1b"),
    (
        np.array([-(2**31), 2**31 - 1], np.int32),
        "01040102ffffffff0fffffffff0f0000000003fe00ff00ffff00ff000001ffaaa41c7f",
    ),
]


@pytest.mark.parametrize(("array", "coded"), CODED)
def test_an_array_has_these_bytes_and_they_decode_to_it(array: np.ndarray, coded: str) -> None:
    assert encode_ints(array).hex() == coded
    decoded = decode_ints(bytes.fromhex(coded))
    assert decoded.dtype == array.dtype and np.array_equal(decoded, array)


def test_an_array_of_many_blocks_has_these_bytes() -> None:
    counter = np.arange(2000)
    array = (((counter * 2654435761) >> 8) % 64 + ((counter * 40503) >> 6) % 64 - 64).astype(np.int8)
    coded = encode_ints(array)
    assert (len(coded), hashlib.sha256(coded).hexdigest()) == (
        1702,
        "850128fc5f9412f6b4a4f97a34c414c45ba79cc4e0242f096dcb6d721dc8d22b",
    )

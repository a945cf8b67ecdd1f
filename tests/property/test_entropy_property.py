"""Coded integers come back exactly, and no bytes whatever do more harm than an ArtifactError."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrow.artifact.int_coder import decode_ints, encode_ints
from regrow.core.errors import ArtifactError

DTYPES = st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12))
)


@given(ARRAYS)
def test_any_array_comes_back(array: np.ndarray) -> None:
    decoded = decode_ints(encode_ints(array))
    assert decoded.dtype == array.dtype and np.array_equal(decoded, array)


@given(
    st.integers(2, 300), st.floats(0.05, 40), st.integers(0, 2**32 - 1), st.integers(0, 3000), st.booleans()
)
@settings(max_examples=60)
def test_any_histogram_comes_back_without_costing_much_more_than_plain_storage(
    alphabet: int, spread: float, seed: int, size: int, spiky: bool
) -> None:
    rng = np.random.default_rng(seed)
    array = np.abs(rng.standard_normal(size) * spread).astype(np.int64) % alphabet
    array[rng.random(size) < (0.5 if spiky else 0)] = alphabet - 1
    array = array.astype(np.uint16)
    data = encode_ints(array)
    assert np.array_equal(decode_ints(data), array)
    assert len(data) < size * np.log2(alphabet) / 8 * 1.15 + 100


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_an_array_or_an_artifact_error(data: bytes, checksum: bool) -> None:
    """With a right checksum too, so that the checks behind it are reached."""
    if checksum:
        data = b"\x01" + data
        data += zlib.crc32(data).to_bytes(4, "little")
    with contextlib.suppress(ArtifactError):
        decode_ints(data)


@given(ARRAYS, st.data())
def test_no_altered_byte_gives_another_array(array: np.ndarray, data: st.DataObject) -> None:
    coded = bytearray(encode_ints(array))
    position = data.draw(st.integers(0, len(coded) - 1))
    coded[position] ^= data.draw(st.integers(1, 255))
    try:
        decode_ints(bytes(coded))
    except ArtifactError:
        return
    raise AssertionError("an altered byte passed")

"""Entropy-coded integers: exact, close to the empirical entropy, and harmless when damaged or forged."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
import pytest
import torch

from regrow.artifact import int_coder as entropy
from regrow.artifact.int_coder import decode_ints, encode_ints
from regrow.artifact.quantise_weights import quantize_rows
from regrow.core.errors import ArtifactError


def entropy_bytes(array: np.ndarray) -> float:
    counts = np.unique(array, return_counts=True)[1]
    return float(-(counts * np.log2(counts / array.size)).sum() / 8)


def weights(rows: int = 64, cols: int = 256, levels: int = 127) -> np.ndarray:
    w = torch.randn(rows, cols, generator=torch.Generator().manual_seed(rows + levels))
    return quantize_rows(w, levels=levels).q.numpy()


def with_checksum(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_the_extremes_of_every_type_come_back_with_their_type_and_shape(dtype: str) -> None:
    limits = np.iinfo(dtype)
    array = np.array([[limits.min, limits.max, 0], [1, limits.max // 2, 7]], dtype=dtype)
    decoded = decode_ints(encode_ints(array))
    assert decoded.dtype == array.dtype and np.array_equal(decoded, array)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4, 5), (1,) * 8])
def test_every_shape_comes_back(shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
    assert decode_ints(encode_ints(array)).shape == shape
    assert np.array_equal(decode_ints(encode_ints(array)), array)


@pytest.mark.parametrize("levels", [127, 63, 31, 15])
@pytest.mark.parametrize(("rows", "cols"), [(64, 256), (256, 64), (512, 64), (1024, 256)])
def test_quantised_weights_cost_within_a_percent_of_their_entropy_header_included(
    rows: int, cols: int, levels: int
) -> None:
    q = weights(rows, cols, levels)
    assert len(encode_ints(q)) < 1.01 * entropy_bytes(q)


@pytest.mark.parametrize("levels", [127, 31])
def test_they_cost_less_than_with_general_compressors(levels: int) -> None:
    q = weights(levels=levels)
    size = len(encode_ints(q))
    assert size < len(zlib.compress(q.tobytes(), 9))
    assert size < len(lzma.compress(q.tobytes(), preset=9 | lzma.PRESET_EXTREME))


def test_a_skewed_histogram_is_not_smeared_by_the_moving_average() -> None:
    rng = np.random.default_rng(0)
    sparse = ((rng.random(20_000) < 0.05) * rng.integers(0, 256, 20_000)).astype(np.uint8)
    assert len(encode_ints(sparse)) < 1.12 * entropy_bytes(sparse)
    rare = (rng.random(5000) < 0.001).astype(np.uint8)
    assert len(encode_ints(rare)) < entropy_bytes(rare) + 30


def test_a_constant_array_of_any_size_is_a_header() -> None:
    assert len(encode_ints(np.full((4096, 512), -3, dtype=np.int8))) < 20


def test_metadata_wider_than_one_alphabet_goes_in_planes() -> None:
    scales = np.linspace(0.001, 0.002, 512).astype(np.float16).view(np.uint16)
    wide = np.random.default_rng(0).integers(0, 1 << 20, 3000).astype(np.int32)
    for array in (scales, wide):
        assert np.array_equal(decode_ints(encode_ints(array)), array)
    assert len(encode_ints(wide)) < 3000 * 20 / 8 * 1.03


def test_the_same_array_gives_the_same_bytes_whatever_its_memory_layout() -> None:
    q = weights()
    assert encode_ints(np.asfortranarray(q)) == encode_ints(q)
    assert encode_ints(q.astype(np.int32).astype(">i4")) == encode_ints(q.astype(np.int32))


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.int64), np.zeros(3, np.float32), np.zeros((1,) * 9, np.int8)]
)
def test_what_the_format_cannot_hold_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot code"):
        encode_ints(array)


def test_every_altered_byte_and_every_cut_is_an_error_that_names_the_array() -> None:
    data = encode_ints(weights(8, 16))
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 0x10
        with pytest.raises(ArtifactError, match=r"layers\.0"):
            decode_ints(bytes(altered), name="layers.0")
        with pytest.raises(ArtifactError, match=r"layers\.0"):
            decode_ints(data[:position], name="layers.0")
    with pytest.raises(ArtifactError, match="1 bytes after its end"):
        decode_ints(data + b"\0")


FORGED = [
    ("too large", [1, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0]),
    ("above 33554432", [1, 0, 2, 0x80, 0x80, 0x80, 0x08, 0x80, 0x01, 0, 0, 0]),
    ("cannot hold", [1, 0, 1, 4, 0, 0xFF, 0x01, 0, 0]),
    ("unknown code 9", [1, 9, 1, 4, 0, 0, 0]),
    ("unknown code 4", [1, 0, 1, 4, 0, 5, 4, 0]),
    ("of format 1", [2, 0, 1, 4, 0, 0, 0]),
    ("cut short", [1, 0, 1, 4, 0, 5, 0, 2]),
    ("too large", [1, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
]


@pytest.mark.parametrize(("fault", "head"), FORGED)
def test_forged_headers_are_refused_before_anything_is_allocated(
    fault: str, head: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their checksum is right: an attacker can compute one too."""
    monkeypatch.setattr(entropy, "RangeDecoder", None)  # the step before the first allocation
    with pytest.raises(ArtifactError, match=fault):
        decode_ints(with_checksum(bytes(head)))


def test_words_that_do_not_fit_the_header_are_refused() -> None:
    data = encode_ints(weights(8, 16))
    head = bytes([1, 0, 1, 4, 0, 5, 0])
    too_many = with_checksum(head + bytes([9]) + bytes(36))
    with pytest.raises(ArtifactError, match="what its header says"):
        decode_ints(too_many)
    assert decode_ints(data).shape == (8, 16)

"""The cache of regrown arrays: what comes back is what was kept, or nothing."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from regrow.artifact import load_cache
from regrow.artifact.load_cache import ArrayCache
from regrow.predict.codec import Codec

ARRAYS: dict[str, NDArray[Any]] = {
    "none": np.empty(0, np.int32),
    "masses": np.arange(1000, dtype=np.float32).reshape(10, 100),
    "tokens": np.arange(77, dtype=np.uint16),
}


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "cache")


def test_what_was_kept_comes_back_and_a_change_of_it_stays_here(cache: ArrayCache) -> None:
    assert cache.load("a", "1") is None
    assert cache.keep(ARRAYS, "a", "1") is None
    found = cache.load("a", "1")
    assert found is not None and list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    found["tokens"][0] = 9
    again = cache.load("a", "1")
    assert again is not None and again["tokens"][0] == 0


def test_another_artifact_or_version_is_another_file(cache: ArrayCache) -> None:
    cache.keep(ARRAYS, "a", "1")
    assert cache.load("a", "2") is None and cache.load("b", "1") is None


def test_a_file_with_any_byte_changed_or_cut_is_not_believed(cache: ArrayCache) -> None:
    cache.keep(ARRAYS, "a")
    path = cache.path("a")
    good = path.read_bytes()
    for at in [*range(0, 400, 7), *range(400, len(good), 97), len(good) - 1]:
        spoiled = bytearray(good)
        spoiled[at] ^= 0x10
        path.write_bytes(bytes(spoiled))
        found = cache.load("a")
        if found is not None:  # a byte between the arrays, which belongs to none of them
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(found[name], array)
    for size in (0, 5, 20, 100, len(good) - 1):
        path.write_bytes(good[:size])
        assert cache.load("a") is None


def test_a_folder_that_cannot_be_written_is_told_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert ArrayCache(tmp_path / "file" / "cache").keep(ARRAYS, "a") is not None
    assert ArrayCache(tmp_path / "file" / "cache").load("a") is None


def test_a_fifo_in_a_files_place_is_neither_read_nor_written(cache: ArrayCache) -> None:
    """It would be waited for, for ever."""
    cache.folder.mkdir()
    os.mkfifo(cache.path("a"))
    assert cache.load("a") is None
    assert cache.keep(ARRAYS, "a") == f"{cache.path('a').name} is no file"


def test_the_folder_is_held_under_its_limit_and_the_longest_unused_goes(tmp_path: Path) -> None:
    array = {"x": np.zeros(1000, np.uint8)}
    cache = ArrayCache(tmp_path, limit_bytes=7000)
    for i, name in enumerate(("a", "b", "c")):
        cache.keep(array, name)
        os.utime(cache.path(name), (i, i))
    assert cache.load("a") is not None  # used again: now the youngest
    for name in ("d", "e"):
        cache.keep(array, name)
    assert cache.load("a") is not None and cache.load("b") is None
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 7000
    assert cache.keep({"x": np.zeros(8000, np.uint8)}, "z") is not None


def test_an_artifact_is_regrown_where_its_cache_is_damaged(cache: ArrayCache) -> None:
    golden = Path(__file__).parents[1] / "golden" / "streams"
    text, stream = (golden / "text").read_bytes()[:300], None
    for damage in (None, "none", "cut", "altered", "names"):
        if damage is not None:
            (path,) = cache.folder.iterdir()
            good = path.read_bytes()
            damaged = {
                "none": good,
                "cut": good[: len(good) // 2],
                "altered": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
                "names": b"",
            }[damage]
            path.write_bytes(damaged)
            if damage == "names":  # whole, but of another version of the code
                path.unlink()
                cache.keep(ARRAYS, "other")
                next(cache.folder.iterdir()).rename(path)
        found = Codec.load(golden / "artifact.safetensors", cache=cache).encode(text).stream
        assert stream in (None, found)
        stream = found
        (path,) = cache.folder.iterdir()
        assert damage is None or path.read_bytes() == good, "kept again"


@pytest.mark.parametrize("dtype", ["O", "nonsense", "<f4"])
def test_a_sound_head_that_names_no_arrays_of_ours_is_not_believed(cache: ArrayCache, dtype: str) -> None:
    head = msgspec.json.encode([load_cache._Entry("a", dtype, [-1], 64, 0)])
    parts = [load_cache._MAGIC, len(head).to_bytes(8, "little"), head, zlib.crc32(head).to_bytes(4, "little")]
    cache.folder.mkdir()
    cache.path("a").write_bytes(b"".join(parts) + bytes(99))
    assert cache.load("a") is None

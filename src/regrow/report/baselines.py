"""What everybody has: general-purpose compressors on the same held-out text, in bits per byte."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from typing import Any

_WINDOW = 1 << 26  # bytes of training text that compressors are shown, at most: the window of xz -9


def baseline_bpb(text: bytes, before: bytes = b"") -> dict[str, float]:
    """Bits per byte of `text`, which must not be empty, by compressor at its strongest setting, worst first: gzip,
    bzip2 and xz of the standard library, and zstd where it is installed.

    They see no training text; with `before`, xz and zstd are measured once more with that text before them, as the
    model had: xz by what the text adds to it, zstd with it as a dictionary.
    """
    sizes = {
        "gzip -9": len(gzip.compress(text, 9)),
        "bzip2 -9": len(bz2.compress(text, 9)),
        "xz -9e": _xz(text),
    }
    before = before[-_WINDOW:]
    if before:
        sizes["xz -9e after the training text"] = _xz(before + text) - _xz(before)
    with contextlib.suppress(ImportError):
        import zstandard

        sizes["zstd -22"] = len(zstandard.ZstdCompressor(level=22).compress(text))
        if before:
            sizes["zstd -22 with the training text as its dictionary"] = len(
                _with_dictionary(zstandard, before).compress(text)
            )
    return {name: 8 * sizes[name] / len(text) for name in sorted(sizes, key=lambda name: -sizes[name])}


def _xz(text: bytes) -> int:
    return len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


def _with_dictionary(zstandard: Any, before: bytes) -> Any:
    content = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    window = max(10, min(27, (2 * len(before)).bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=window)
    return zstandard.ZstdCompressor(dict_data=content, compression_params=parameters)

"""What everybody has: general-purpose compressors on the same held-out text, in bits per byte."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
from typing import Any

WINDOW = 1 << 26  # bytes of training text that compressors are shown, at most: the window of xz -9


def baseline_bpb(text: bytes, before: bytes = b"") -> dict[str, float]:
    """Bits per byte of `text`, which must not be empty, by compressor at its strongest setting, worst first."""
    return {name: 8 * size / len(text) for name, (size, _) in compressed_sizes(text, before).items()}


def compressed_sizes(
    text: bytes, before: bytes = b"", stored: int | None = None
) -> dict[str, tuple[int, int]]:
    """Bytes of `text` by compressor, largest first, and what a decoder must have beforehand: gzip, bzip2 and xz of the
    standard library, and zstd where it is installed.

    They see no training text; with `before`, xz and zstd are measured once more with that text before them, as the
    model had: xz by what the text adds to it, zstd with it as a dictionary. A decoder then needs it, as xz stores it:
    in `stored` bytes, where they are known from an earlier call.
    """
    sizes = {
        "gzip -9": (len(gzip.compress(text, 9)), 0),
        "bzip2 -9": (len(bz2.compress(text, 9)), 0),
        "xz -9e": (_xz(text), 0),
    }
    before = before[-WINDOW:]
    if stored is None:
        stored = _xz(before) if before else 0
    if before:
        sizes["xz -9e after the training text"] = (_xz(before + text) - stored, stored)
    with contextlib.suppress(ImportError):
        import zstandard

        sizes["zstd -22"] = (len(zstandard.ZstdCompressor(level=22).compress(text)), 0)
        if before:
            raw = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            name = "zstd -22 with the training text as its dictionary"
            sizes[name] = (len(zstd_with(raw, text)), stored)
    return dict(sorted(sizes.items(), key=lambda item: -item[1][0]))


def zstd_with(dictionary: Any, text: bytes) -> bytes:
    """`text` by zstd -22 with a dictionary, in a window that spans both."""
    import zstandard

    window = max(10, min(27, (len(dictionary.as_bytes()) + len(text)).bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=window)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(text)


def _xz(text: bytes) -> int:
    return len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))

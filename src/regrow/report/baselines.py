"""What everybody has: general-purpose compressors on the same held-out text, in bits per byte."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import lzma


def baseline_bpb(text: bytes) -> dict[str, float]:
    """Bits per byte of `text`, which must not be empty, by compressor at its strongest setting, worst first: gzip,
    bzip2 and xz of the standard library, and zstd where this Python has it. They see no training text."""
    sizes = {
        "gzip -9": len(gzip.compress(text, 9)),
        "bzip2 -9": len(bz2.compress(text, 9)),
        "xz -9e": len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
    }
    with contextlib.suppress(ImportError):  # before Python 3.14
        sizes["zstd -22"] = len(importlib.import_module("compression.zstd").compress(text, 22))
    return {name: 8 * sizes[name] / len(text) for name in sorted(sizes, key=lambda name: -sizes[name])}

"""Whether bytes are as good as random: such data is stored at once, for LZMA takes a second a megabyte to give up."""

from __future__ import annotations

import zlib

import numpy as np

_SHORT = 1 << 14  # what is shorter costs nothing to try
_WORD = 8  # bytes that, seen twice, are a repetition and no chance
_PIECE = 1 << 16  # bytes of which deflate must not gain one in _GAIN
_GAIN = 100
_WINDOW = 1 << 20  # words looked at in one go
_MIX = np.uint64(0x9E3779B97F4A7C15)
_KEPT_IN = np.uint64(56)  # of words, those whose hash has only zeros from this bit: one in 256


def is_incompressible(raw: bytes) -> bool:
    """True if deflate gains no hundredth anywhere in `raw`, and nothing in it stands there twice, however far apart.

    Data of formats that are packed already, encrypted data and noise. Tens of megabytes a second, the same answer on
    every machine. A repetition of less than about a kilobyte may be overlooked.
    """
    if len(raw) < _SHORT:
        return False
    for at in range(0, len(raw), _PIECE):
        piece = raw[at : at + _PIECE]
        if len(zlib.compress(piece, 1)) < len(piece) * (_GAIN - 1) // _GAIN:
            return False
    kept = []
    for at in range(0, len(raw) - _WORD + 1, _WINDOW):
        count = min(_WINDOW, len(raw) - _WORD + 1 - at)
        words = np.ndarray(count, "<u8", raw, offset=at, strides=(1,))  # one from each byte on
        kept.append(words[words * _MIX >> _KEPT_IN == 0])
    words = np.concatenate(kept)
    return len(np.unique(words)) == len(words)

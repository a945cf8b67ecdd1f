"""How a text is cut into streams that move in lock-step: the same for evaluation, encoder and decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -1  # a target that is not scored: a document marker, or padding
MAX_STREAMS = 64
TOKENS_A_STREAM = 1024  # at least: a stream's cold start costs about 13 bits


def stream_count(tokens: int, max_streams: int | None = None) -> int:
    """How many streams a text of so many tokens is cut into; `max_streams` None: as the format says."""
    return max(1, min(max_streams or MAX_STREAMS, tokens // TOKENS_A_STREAM))


def split_streams(tokens: NDArray[np.integer[Any]], streams: int, multiple: int = 1) -> NDArray[np.int64]:
    """Cut a text into `streams` consecutive pieces, as equal as can be, the longer first: int64 [S, T].

    Pieces are filled up to one length, a multiple of `multiple`, with IGNORED.
    """
    short, longer = divmod(len(tokens), streams)
    length = -(-(short + (longer > 0)) // multiple) * multiple
    result = np.full((streams, length), IGNORED, np.int64)
    at = 0
    for s in range(streams):
        n = short + (s < longer)
        result[s, :n] = tokens[at : at + n]
        at += n
    return result

"""What a text costs under the n-gram memory alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.ngram.contexts import contexts_of
from regrow.ngram.model.ngram_model import NgramModel

_ROWS = 8192


def text_bits(model: NgramModel, tokens: NDArray[np.integer[Any]], bos_id: int) -> float:
    """Bits of the tokens after a BOS, one document or several; a BOS itself is not predicted."""
    stream = np.concatenate((np.array([bos_id], tokens.dtype), tokens))
    nats = 0.0
    for start in range(1, len(stream), _ROWS):
        stop = min(start + _ROWS, len(stream))
        contexts = contexts_of(stream, model.max_order - 1, bos_id, start=start, stop=stop)
        gold = stream[start:stop]
        probs = model.probs(contexts)[np.arange(stop - start), gold].astype(np.float64)
        nats -= float(np.log(probs[gold != bos_id]).sum())
    return nats / math.log(2)

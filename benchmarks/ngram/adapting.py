"""The memory alone while it learns from the text it has scored, as a compressor of the PPM kind does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.config.schema import EvalConfig
from regrow.ngram.contexts import contexts_of
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.adaptive.online_mixer import OnlineMixer, StepInputs
from regrow.predict.predictor import IGNORED, split_streams, stream_count

_STEPS = 64  # lock-steps whose rows are made at a time


def adapting_bits(model: NgramModel, tokens: NDArray[np.integer[Any]], bos_id: int) -> float:
    """Bits of the tokens under the model, recent counts and the online mixer, in the streams of `eval.adapt_streams`.

    Every distribution is fixed before its token is counted; nothing but the text before is learned from.
    """
    defaults = EvalConfig()
    streams = stream_count(len(tokens), defaults.adapt_streams)
    tokens_ST = split_streams(tokens, streams)
    mixer = OnlineMixer(streams, model.vocab_size, defaults.adapt_orders, defaults.adapt_tokens)
    width = model.max_order - 1
    known_ST = np.where(tokens_ST == IGNORED, bos_id, tokens_ST)
    begun_ST = np.concatenate((np.full((streams, 1), bos_id, np.int64), known_ST), axis=1)
    nats = 0.0
    for first in range(0, tokens_ST.shape[1], _STEPS):
        stop = min(first + _STEPS, tokens_ST.shape[1])
        contexts = np.concatenate(
            [contexts_of(stream, width, bos_id, start=first + 1, stop=stop + 1) for stream in begun_ST]
        )
        rows = model.rows(contexts)
        shape = (streams, stop - first, model.vocab_size)
        memory_STV = np.log(rows.probs_RV).reshape(shape)
        order_ST = np.ascontiguousarray(rows.matched_order_R, np.int32).reshape(shape[:2])
        inputs = StepInputs(memory_STV, np.zeros(shape, np.float32), memory_STV, order_ST)
        nats += float(mixer.score(inputs, tokens_ST[:, first:stop]).sum())
    return nats / math.log(2)

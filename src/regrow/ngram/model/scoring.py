"""What a text costs under the n-gram memory alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.jit import F64x1, I32x1, kernel
from regrow.ngram.contexts import contexts_of
from regrow.ngram.model.backoff_trie import Trie, find_token
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


def token_bits(model: NgramModel, tokens_T: NDArray[np.integer[Any]], bos_id: int) -> NDArray[np.float64]:
    """Bits of each token of a stream in which `bos_id` heads each document, where it is 0: float64 [T].

    The sums of the model's rows, done in float64 for the one token: rows' float32 sums differ in their last digits.
    """
    bits_T = np.zeros(len(tokens_T))
    unigram_V = model.unigram_V.astype(np.float64)
    _token_bits(model.trie, unigram_V, np.asarray(tokens_T, np.int32), bos_id, bits_T)
    return bits_T


@kernel
def _token_bits(trie: Trie, unigram_V: F64x1, tokens_T: I32x1, bos_id: int, bits_T: F64x1) -> None:
    child_start, child_token, gamma = trie.child_start_P1, trie.child_token_M, trie.gamma_M
    succ_start, succ_token, succ_mass = trie.succ_start_M1, trie.succ_token_E, trie.succ_mass_E
    for t in range(len(tokens_T)):
        token = tokens_T[t]
        if token == bos_id:
            continue
        prob = unigram_V[token]
        node = np.int64(-1)
        for n in range(2, min(trie.max_order, t + 1) + 1):
            older = tokens_T[t - n + 1]
            node = np.int64(older) if n == 2 else find_token(child_start, child_token, node, older)
            if node < 0 or succ_start[node] == succ_start[node + 1]:
                break
            entry = find_token(succ_start, succ_token, node, token)
            mass = np.float64(succ_mass[entry]) if entry >= 0 else 0.0
            prob = mass + gamma[node] * prob
            if older == bos_id:
                break
        bits_T[t] = -math.log2(prob)

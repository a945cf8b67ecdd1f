"""Drawing text: the next token from a row of probabilities, by temperature and nucleus (top-p) sampling, and so on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import ConfigError
from regrow.predict.codec import CHUNK, Codec, codec_of

SAMPLE_TOKENS = 200


def draw(
    probs_V: NDArray[np.float64], chance: random.Random, temperature: float = 1.0, top_p: float = 1.0
) -> int:
    """A token drawn from `probs_V` (they need not sum to 1), the likeliest one at `temperature` 0.

    A temperature below 1 sharpens the row: p ** (1 / temperature). Of the sharpened row only the likeliest tokens that
    together reach `top_p` are drawn from. Raises ConfigError for a temperature below 0 or a `top_p` outside (0, 1].
    """
    if not temperature >= 0 or not 0 < top_p <= 1:  # NaN is neither
        raise ConfigError(
            f"temperature is {temperature:g} and top_p is {top_p:g}; choose a temperature of 0 or more, and a top_p "
            "above 0 and at most 1."
        )
    if temperature == 0:
        return int(np.argmax(probs_V))
    if temperature != 1:
        with np.errstate(divide="ignore", over="ignore"):
            logs_V = np.log(probs_V)
            # To 0 at most before they are divided: by the least temperatures each would become -inf.
            probs_V = np.exp((logs_V - logs_V.max()) / temperature)
    if top_p < 1:
        order = np.argsort(-probs_V, kind="stable")
        before = np.cumsum(probs_V[order]) - probs_V[order]
        probs_V = probs_V.copy()
        probs_V[order[before >= top_p * probs_V.sum()]] = 0
    total = np.cumsum(probs_V)
    return int(np.searchsorted(total, chance.random() * total[-1], side="right"))


def sampled(
    codec: Codec, prompt: bytes, tokens: int, choose: Callable[[NDArray[np.float64]], int]
) -> Iterator[bytes]:
    """At most `tokens` tokens after `prompt`, as bytes, each chosen from the exact row [V] before it: the same rows on
    every machine."""
    rows = codec.rows(1, CHUNK, None)
    given = codec.tokenizer.encode(prompt).astype(np.int64)
    for at in range(0, len(given), CHUNK):
        rows.intervals(given[None, at : at + CHUNK])
    for _ in range(tokens):
        weights_SV, _ = rows.weights()
        token = choose(weights_SV[0].astype(np.float64))
        if token == codec.tokenizer.bos_id:
            return
        yield codec.tokenizer.decode([token])
        rows.advance(np.array([token]))


def sample_text(artifact: object, tokens: int = SAMPLE_TOKENS, seed: int = 0) -> str:
    """The text that `regrow sample` draws where nothing else is asked for; `artifact` as `codec_of` takes it."""
    choose = partial(draw, chance=random.Random(seed))
    # The last token may end within a letter.
    return b"".join(sampled(codec_of(artifact), b"", tokens, choose)).decode("utf-8", errors="replace")

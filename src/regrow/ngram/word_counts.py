"""Sentences of words counted, and the model that they give: what lmplz does."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import numpy as np

from regrow.core.errors import DataError
from regrow.ngram.counts.ngram_counts import VOCAB_LIMIT, NgramCounts
from regrow.ngram.model.backoff_table import Ngrams
from regrow.ngram.model.interpolated import interpolated
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.word_model import BEGIN, END, UNKNOWN

_END, _BEGIN, _FIRST = 0, 1, 2
_TOKENS_AT_ONCE = 1 << 22


def estimate_words(
    lines: Iterable[bytes],
    order: int,
    tell: Callable[[int], None] = lambda size: None,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[list[bytes], list[Ngrams]]:
    """Interpolated modified Kneser-Ney over words, a sentence a line, as `lmplz` estimates it: the words and the
    n-grams of orders 1 to `order`, or to the longest there is.

    Where counts give no possible discounts, as in tiny texts, the order's are 0.5, 1 and 1.5 (lmplz's
    --discount_fallback), which `log` tells. Words are held as 16 bits: of more than 65,533 the rarest become <unk>.
    Reads once; holds 4 bytes a word of text and the counts.

    Raises DataError for a text that holds <s>, </s> or <unk>, or none at all.
    """
    ids = {END: _END, BEGIN: _BEGIN}
    tokens = array("i")
    number = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        tokens.append(_BEGIN)
        tokens.extend([ids.setdefault(word, len(ids)) for word in words])
        tokens.append(_END)
        if any(word in words for word in (BEGIN, END, UNKNOWN)):
            raise DataError(
                f"line {number:,} of the text holds <s>, </s> or <unk>, which the model adds itself; take them out."
            )
        tell(len(line))
    if len(ids) == _FIRST:
        raise DataError("the text holds no word; give it some.")
    stream, words = np.frombuffer(tokens, np.int32), list(ids)
    unknown = len(words)
    if len(words) + 1 > VOCAB_LIMIT:
        stream, words, unknown = _most_frequent(stream, words, log)
    counts = NgramCounts(len(words), order, bos_id=_BEGIN)
    for at in range(0, len(stream), _TOKENS_AT_ONCE):
        counts.add(stream[at : at + _TOKENS_AT_ONCE], stream[max(0, at - order) : at] if at else None)
    model = NgramModel.from_counts(counts)
    for note in model.notes:
        log(note)
    # The uniform share of BOS, which is never predicted, is that of a word never seen: lmplz's <unk>.
    unigram_V = model.unigram_V.astype(np.float64)
    left = unigram_V[_BEGIN]
    if unknown < len(words):
        unigram_V[unknown] += left
    orders = interpolated(model.trie, unigram_V)
    first = orders[0]
    first.log10_N[_BEGIN] = 0  # as lmplz writes it
    if unknown == len(words):
        words.append(UNKNOWN)
        orders[0] = Ngrams(
            np.arange(len(words), dtype=np.int32)[:, None],
            np.append(first.log10_N, np.float32(np.log10(left))),
            np.append(first.backoff_N, np.float32(0)),
        )
    return words, orders


def _most_frequent(
    stream: np.ndarray, words: list[bytes], log: Callable[[str], None]
) -> tuple[np.ndarray, list[bytes], int]:
    """The text with its rarest words replaced by <unk>, the words that are left, and the id of <unk>."""
    kept = VOCAB_LIMIT - _FIRST - 1
    frequency = np.bincount(stream, minlength=len(words))
    frequency[:_FIRST] = np.iinfo(np.int64).max  # what stands around sentences stays
    chosen = np.sort(np.argsort(-frequency, kind="stable")[: kept + _FIRST])
    replaced = np.full(len(words), len(chosen), np.int32)
    replaced[chosen] = np.arange(len(chosen), dtype=np.int32)
    gone = len(words) - len(chosen)
    log(f"{len(words) - _FIRST:,} words: the {gone:,} rarest of them are <unk>")
    return replaced[stream], [*(words[i] for i in chosen), UNKNOWN], len(chosen)

"""The table form: what is decoded is the model that was stored, pruned or whole, and damage is always found."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.core.errors import NgramError
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import grams_of
from regrow.ngram.store.pruning import closed
from regrow.ngram.store.table_budget import fit_table
from regrow.ngram.store.table_form import decode_table, encode_table


def text(seed: int, size: int, vocab: int) -> np.ndarray:
    """Several documents of skewed tokens with repeats; BOS is 1."""
    rng = np.random.default_rng(seed)
    tokens = np.minimum(rng.geometric(min(3 / vocab, 0.9), size), vocab - 1).astype(np.int64)
    tokens[tokens == 1] = 0
    tokens[size // 2 : size // 2 + size // 5] = tokens[: size // 5]
    tokens[0] = tokens[size // 3] = 1
    return tokens


def counted(tokens: np.ndarray, vocab: int, order: int) -> NgramCounts:
    counts = NgramCounts(vocab, order)
    counts.add(tokens)
    return counts


def stored(tokens: np.ndarray, vocab: int, order: int) -> tuple[NgramModel, bytes]:
    counts = counted(tokens, vocab, order)
    model = NgramModel.from_counts(counts)
    return model, encode_table(closed(grams_of(counts)), model.discounts)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 900), st.sampled_from([2, 5, 40, 5000]), st.integers(1, 7))
def test_a_whole_table_predicts_as_the_model_did(seed, size, vocab, order):
    tokens = text(seed, size, vocab)
    model, data = stored(tokens, vocab, order)
    again = decode_table(data)
    contexts = contexts_of(tokens, order)
    want, got = model.rows(contexts), again.rows(contexts)
    np.testing.assert_allclose(got.probs_RV, want.probs_RV, rtol=1e-5, atol=1e-7)
    assert (got.matched_order_R == want.matched_order_R).all()
    assert (got.context_total_R == want.context_total_R).all()
    assert (got.distinct_R == want.distinct_R).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_a_pruned_table_keeps_its_allowance_and_sums_to_one(seed, share):
    tokens = text(seed, 3000, 40)
    counts = counted(tokens, 40, 5)
    model, whole = stored(tokens, 40, 5)
    allowance = int(share * len(whole)) + 200
    data = fit_table(grams_of(counts), model.discounts, allowance)
    assert len(data) <= allowance
    probs = decode_table(data).probs(contexts_of(tokens, 4))
    assert (probs > 0).all()
    assert np.abs(probs.astype(np.float64).sum(1) - 1).max() < 1e-6


def test_more_bytes_predict_the_counted_text_better():
    tokens = text(3, 6000, 40)
    counts = counted(tokens, 40, 5)
    model, whole = stored(tokens, 40, 5)
    grams, contexts, at = grams_of(counts), contexts_of(tokens, 4), np.arange(len(tokens))

    def nats(size: int) -> float:
        probs = decode_table(fit_table(grams, model.discounts, size)).probs(contexts)
        return -float(np.log(probs[at, tokens])[tokens != 1].sum())

    small, middle, large = nats(len(whole) // 8), nats(len(whole) // 2), nats(len(whole))
    assert small > middle > large


def test_the_network_may_say_what_an_entry_is_worth():
    tokens = text(4, 3000, 40)
    counts = counted(tokens, 40, 4)
    model, whole = stored(tokens, 40, 4)
    # Worth nothing above order 2: none of those is kept while an n-gram of order 2 is left out.
    data = fit_table(
        grams_of(counts), model.discounts, len(whole) // 8,
        adjust=lambda order, worth: worth if order == 2 else worth * 0 - 1e9,
    )  # fmt: skip
    found = decode_table(data).rows(contexts_of(tokens, 3))
    assert found.matched_order_R.max() == 2


def test_an_allowance_below_the_unigrams_is_refused():
    counts = counted(text(5, 900, 40), 40, 3)
    with pytest.raises(NgramError, match="cannot hold even the unigrams"):
        fit_table(grams_of(counts), NgramModel.from_counts(counts).discounts, 10)


def test_bytes_do_not_depend_on_the_run():
    assert stored(text(6, 900, 40), 40, 4)[1] == stored(text(6, 900, 40), 40, 4)[1]


def test_every_changed_byte_and_every_cut_is_refused():
    data = stored(text(7, 300, 12), 12, 4)[1]
    for at in range(len(data)):
        for flip in (1, 0x80):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            with pytest.raises(NgramError):
                decode_table(changed)
        with pytest.raises(NgramError):
            decode_table(data[:at])
    with pytest.raises(NgramError):
        decode_table(data + b"\0")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_forged_checksum_gives_no_crash_and_no_wrong_distribution(data):
    whole = stored(text(8, 300, 12), 12, 4)[1]
    body = bytearray(whole[8:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(4, len(body) - 1))] = data.draw(st.integers(0, 255))
    if bytes(body) == whole[8:]:
        return
    forged = whole[:4] + zlib.crc32(bytes(body)).to_bytes(4, "little") + bytes(body)
    try:
        model = decode_table(forged)
    except NgramError:
        return
    # What is left to forge without touching the content's own checksum are sizes of the header that say the same, and
    # discounts: still distributions.
    probs = model.probs(contexts_of(text(8, 300, 12) % model.vocab_size, 4))
    assert np.abs(probs.astype(np.float64).sum(1) - 1).max() < 1e-5

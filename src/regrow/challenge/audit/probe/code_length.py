"""Spend the bits: code the text with a real range coder from the scorer's rows, decode it, compare with the claim.

The coder's model is the row as it stands, normalised as a coder must. A row that sums to 850 claims fewer nats than it
can be coded in once normalised, so its stream is longer than the claim; an honest one agrees to a part of a percent.
"""

from __future__ import annotations

import math
import time

import numpy as np

from regrow.artifact.range_coder import TOTAL, RangeDecoder, RangeEncoder
from regrow.challenge.audit.probe.probe import Answer, probe, skipped, verdict
from regrow.challenge.audit.probe.scorer import Scorer, ScorerSession

#: What the stream may exceed the claim by: a share (24-bit frequencies) and bits a text.
SHARE = 0.01
EXTRA_BITS = 4.0
#: The text is coded again until so many symbols are in the stream: the coder's last words weigh nothing then.
_SYMBOLS = 4096
_SECONDS = 60.0
_POSITIONS = 8


@probe(
    "code-length",
    "A real range coder spends the bits that are claimed",
    why="The figure is a promise of a code length; here the code is made and decoded.",
    clears="A figure read from the distribution that a coder could be given.",
)
def code_length(scorer: Scorer) -> Answer:
    tokens, nats = scorer.tokens, scorer.first_nats
    if scorer.kind == "predictor":
        at = list(range(1, len(tokens)))
        rows_RV: np.ndarray | None = scorer.first_rows[1:]
    else:
        at = [t for t in range(1, len(tokens)) if not math.isnan(nats[t])]
        at = at[:: max(1, len(at) // (48 if "distribution" in scorer.has else _POSITIONS))]
        with scorer.session() as session:
            rows_RV = _score_rows(scorer, session, at)
    if rows_RV is None:
        return skipped("Asking token by token takes too long here; give `distribution` in the shim.")
    claimed = float(nats[at].sum()) / math.log(2)
    with np.errstate(over="ignore", invalid="ignore"):
        probs_RV = np.exp(rows_RV - np.nanmax(rows_RV, axis=1, keepdims=True))
    if not np.isfinite(probs_RV).all() or not math.isfinite(claimed):
        return "failed", "A row or a charge is not a finite number, so nothing can be coded from it.", {}
    spent, right = _code(probs_RV, tokens[at])
    return verdict(
        right and spent <= claimed * (1 + SHARE) + EXTRA_BITS,
        f"{claimed:.0f} bits claimed, {spent:.0f} spent, and decoded.",
        f"{claimed:.0f} bits are claimed, but the range coder spends {spent:.0f}."
        if right
        else "The decoder did not give the tokens back.",
        tokens=len(at),
        claimed_bits=claimed,
        stream_bits=spent,
        ratio=spent / claimed if claimed > 0 else math.inf,
        decoded="yes" if right else "no",
    )


def _score_rows(scorer: Scorer, session: ScorerSession, at: list[int]) -> np.ndarray | None:
    if "distribution" in scorer.has:
        return session.rows(scorer.tokens, at)
    end = time.monotonic() + _SECONDS
    rows = []
    for t in at:
        nats_V, whole = session.enumerated(scorer.tokens[:t], lambda: time.monotonic() < end)
        if not whole:
            return None
        rows.append(-nats_V)
    return np.stack(rows)


def _code(probs_RV: np.ndarray, symbols_R: np.ndarray) -> tuple[float, bool]:
    """Bits that a range coder spends on the symbols, its constant spread thin; and whether they decode."""
    frequency_RV = _frequencies(probs_RV)
    at, symbols = np.arange(len(symbols_R)), symbols_R.astype(np.int64)
    starts_RV = np.cumsum(frequency_RV, axis=1) - frequency_RV
    start_R, length_R = starts_RV[at, symbols], frequency_RV[at, symbols]
    times = -(-_SYMBOLS // len(symbols))
    encoder = RangeEncoder()
    for _ in range(times):
        encoder.push(start_R, length_R)
    stream = encoder.finish()
    decoder = RangeDecoder(stream)
    right = all(np.array_equal(decoder.pop(frequency_RV), symbols) for _ in range(times))
    return 8.0 * len(stream) / times, right


def _frequencies(probs_RV: np.ndarray) -> np.ndarray:
    """Every row normalised to whole frequencies, at least 1, that sum to 2^24."""
    shares_RV = np.maximum(np.asarray(probs_RV, np.float64), 1e-12)
    free = TOTAL - probs_RV.shape[1]
    whole_RV = np.floor(shares_RV / shares_RV.sum(axis=1, keepdims=True) * free)
    frequency_RV: np.ndarray = whole_RV.astype(np.int64) + 1
    left_R = TOTAL - frequency_RV.sum(axis=1)
    frequency_RV[np.arange(len(frequency_RV)), frequency_RV.argmax(axis=1)] += left_R
    return frequency_RV

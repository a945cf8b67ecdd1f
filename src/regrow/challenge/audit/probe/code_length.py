"""Spend the bits: code the text with a real range coder from the scorer's rows, decode it, and compare with
what it claims.

The coder's model is the row as it stands, normalised as a coder must. A row that sums to 850 claims fewer
nats than its normalised self can be coded in, so its stream is longer than the claim; an honest one agrees to
a fraction of a percent.
"""

from __future__ import annotations

import math
import time

import constriction
import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer, Session

#: What the stream may exceed the claim by: a share (24-bit frequencies) and bits a text.
SHARE = 0.01
EXTRA_BITS = 4.0
#: The text is coded over and over until this many symbols are in the stream, so that the coder's last words
#: weigh nothing.
_SYMBOLS = 4096
_SECONDS = 60.0
_POSITIONS = 8


def _run(scorer: Scorer) -> ProbeResult:
    tokens = scorer.tokens
    if scorer.kind == "predictor":
        at = list(range(1, len(tokens)))
        rows_RV = scorer.first_rows[1:]
        claimed_R = scorer.first_nats[1:]
    else:
        nats = scorer.first_nats
        at = [t for t in range(1, len(tokens)) if not math.isnan(nats[t])]
        at = at[:: max(1, len(at) // (48 if "distribution" in scorer.has else _POSITIONS))]
        claimed_R = nats[at]
        with scorer.session() as session:
            rows = _score_rows(scorer, session, at)
        if rows is None:
            return PROBE.result(
                "not applicable",
                "Asking token by token takes too long here; give `distribution` in the shim.",
            )
        rows_RV = rows
    claimed = float(claimed_R.sum()) / math.log(2)
    with np.errstate(over="ignore", invalid="ignore"):
        probs_RV = np.exp(rows_RV - np.nanmax(rows_RV, axis=1, keepdims=True))
    if not np.isfinite(probs_RV).all() or not math.isfinite(claimed):
        return PROBE.result(
            "failed", "A row or a charge is not a finite number, so nothing can be coded from it."
        )
    spent, right = _code(probs_RV, tokens[at])
    numbers = {
        "tokens": len(at),
        "claimed_bits": claimed,
        "stream_bits": spent,
        "ratio": spent / claimed if claimed > 0 else math.inf,
        "decoded": "yes" if right else "no",
    }
    if not right:
        return PROBE.result("failed", "The decoder did not give the tokens back.", **numbers)
    if spent > claimed * (1 + SHARE) + EXTRA_BITS:
        return PROBE.result(
            "failed", f"{claimed:.0f} bits are claimed, but the range coder spends {spent:.0f}.", **numbers
        )
    return PROBE.result("passed", f"{claimed:.0f} bits claimed, {spent:.0f} spent, and decoded.", **numbers)


def _score_rows(scorer: Scorer, session: Session, at: list[int]) -> np.ndarray | None:
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
    family = constriction.stream.model.Categorical(perfect=False)
    floor = np.maximum(probs_RV, 1e-12).astype(np.float32)
    symbols = symbols_R.astype(np.int32)
    times = -(-_SYMBOLS // len(symbols))
    encoder = constriction.stream.queue.RangeEncoder()
    for _ in range(times):
        encoder.encode(symbols, family, floor)
    words = encoder.get_compressed()
    decoder = constriction.stream.queue.RangeDecoder(words)
    right = all(np.array_equal(decoder.decode(family, floor), symbols) for _ in range(times))
    return 32.0 * len(words) / times, right


PROBE = Probe(
    id="code-length",
    title="A real range coder spends the bits that are claimed",
    why="The figure is a promise of a code length; here the code is made and decoded.",
    clears="A figure read from the distribution that a coder could be given.",
    breaks=(2,),
    run=_run,
)

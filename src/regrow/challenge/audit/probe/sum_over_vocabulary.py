"""Every row must be a distribution: no entry above one or not a number, and a sum of one over the whole vocabulary.

A scorer that gives no distribution is asked for it token by token: after one prefix, what would it have charged had the
next token been v? exp(-nats), summed over every v, must be one. A lookup of the gold token alone cannot pass.
"""

from __future__ import annotations

import time

import numpy as np

from regrow.challenge.audit.probe.probe import Answer, Number, probe, skipped, verdict
from regrow.challenge.audit.probe.scorer import ROWS, Scorer

#: Largest distance of a row's sum from one; float32 sums over 10,000 tokens stay well inside.
SUM_TOLERANCE = 1e-3
#: Seconds that asking token by token may take, and prefixes asked.
ENUMERATION_SECONDS = 90.0
PREFIXES = 3


@probe(
    "sum-over-vocabulary",
    "Each row sums to one over the vocabulary",
    why="Figures that do not sum to one are no probabilities: no code has those lengths.",
    clears="One normalised distribution over every token, from which the figure is read.",
)
def sum_over_vocabulary(scorer: Scorer) -> Answer:
    if scorer.kind != "predictor" and "distribution" not in scorer.has:
        return _token_by_token(scorer)
    if scorer.kind == "predictor":
        rows_RV = scorer.first_rows
    else:
        at = sorted({int(t) for t in np.linspace(1, len(scorer.tokens) - 1, ROWS)})
        with scorer.session() as session:
            rows_RV = session.rows(scorer.tokens, at)
    bad = int(np.isnan(rows_RV).any(axis=1).sum())
    with np.errstate(over="ignore"):
        sums_R = np.exp(rows_RV).sum(axis=1)
    distances_R = np.abs(sums_R - 1)
    error = float(distances_R.max()) if not bad else float("nan")
    return verdict(
        error <= SUM_TOLERANCE,
        f"{len(rows_RV)} rows each sum to 1 over the vocabulary.",
        f"{bad} of {len(rows_RV)} rows hold a value that is not a number."
        if bad
        else f"A row sums to {sums_R[distances_R.argmax()]:.6g} over the vocabulary, not to 1.",
        rows=len(rows_RV), max_abs_row_sum_error=error, largest_sum=float(sums_R.max()),
    )  # fmt: skip


def _token_by_token(scorer: Scorer) -> Answer:
    end = time.monotonic() + ENUMERATION_SECONDS
    count = len(scorer.tokens)
    sums: list[float] = []
    asked, complete = 0, True
    with scorer.session() as session:
        for t in (count * 3 // 4, count // 2, 1)[:PREFIXES]:
            nats_V, whole = session.enumerated(scorer.tokens[:t], lambda: time.monotonic() < end)
            known = nats_V[~np.isnan(nats_V)]
            with np.errstate(over="ignore"):
                sums.append(float(np.exp(-known).sum()))
            asked += known.size
            complete = complete and whole
            if not whole:
                break
    worst = max(sums, key=lambda s: abs(s - 1)) if complete else max(sums)
    numbers: dict[str, Number] = {
        "rows": len(sums), "tokens_asked": asked, "largest_sum": max(sums), "smallest_sum": min(sums)
    }  # fmt: skip
    if not complete and worst <= 1 + SUM_TOLERANCE:
        message = f"Time ran out after {asked} tokens; those asked sum to {worst:.4g}. Give `distribution` in the shim."
        return skipped(message, **numbers)
    return verdict(
        abs(worst - 1) <= SUM_TOLERANCE,
        f"Charged token by token, {len(sums)} rows each sum to 1.",
        f"Charged token by token, the probabilities after one prefix sum to {worst:.6g}, not to 1.",
        **numbers,
    )

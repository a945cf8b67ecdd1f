"""Put another token where the target stood: the distribution it is charged from must not have known.

For a predictor, two fresh processes are fed the same prefix and then different targets; every row up to and
including the target's must agree. For a scoring function, what it charged for the earlier tokens must agree,
and where it also gives distributions, the figure it charged must be the distribution's at that token, for the
old target and for the new.
"""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer


def _run(scorer: Scorer) -> ProbeResult:
    tokens = scorer.tokens
    t = len(tokens) * 2 // 3
    changed = tokens.copy()
    changed[t] = (tokens[t] + 1 + (scorer.vocab or 2) // 2) % (scorer.vocab or 2)
    if changed[t] in (tokens[t], scorer.bos):
        changed[t] = (changed[t] + 1) % (scorer.vocab or 2)
    if scorer.kind == "predictor":
        at = list(range(t + 1))
        before_RV = scorer.first_rows[: t + 1]
        with scorer.session() as two:
            after_RV = two.rows(changed[: t + 1], at)
        moved = float(np.abs(np.exp(before_RV) - np.exp(after_RV)).max())
        return _verdict(scorer, moved, t, "the distribution before it", {})
    with scorer.session() as one:
        first = one.nats(tokens)
        second = one.nats(changed)
        moved = _largest(np.abs(first[:t] - second[:t]))
        numbers: dict[str, float] = {}
        if "distribution" in scorer.has:
            row_V = one.distribution(tokens[:t])
            numbers["old_target_disagrees_nats"] = float(abs(first[t] + row_V[tokens[t]]))
            numbers["new_target_disagrees_nats"] = float(abs(second[t] + row_V[changed[t]]))
            moved = max(moved, *numbers.values())
    return _verdict(scorer, moved, t, "what was charged", numbers)


def _largest(differences: np.ndarray) -> float:
    kept = differences[~np.isnan(differences)]
    return float(kept.max()) if kept.size else 0.0


def _verdict(scorer: Scorer, moved: float, t: int, what: str, numbers: dict[str, float]) -> ProbeResult:
    measured = {"position": t, "max_change": moved, "tolerance": scorer.tolerance, **numbers}
    if not moved <= scorer.tolerance:
        return PROBE.result(
            "failed", f"With another token at position {t}, {what} moved by {moved:.4g}.", **measured
        )
    return PROBE.result("passed", f"With another token at position {t}, {what} stayed as it was.", **measured)


PROBE = Probe(
    id="change-target",
    title="Change the target: the distribution must not move",
    why="A distribution that knows the token it is about to be charged for predicts nothing.",
    clears="A distribution computed from the artifact and the strict prefix alone.",
    breaks=(1, 2),
    run=_run,
)

"""Put another token where the target stood: the distribution it is charged from must not have known.

For a predictor, two fresh processes are fed the same prefix and then different targets; every row up to and including
the target's must agree. For a scoring function, what it charged for the earlier tokens must agree, and where it also
gives distributions, the figure it charged must be the distribution's at that token, for the old target and for the new.
"""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Answer, Number, probe, verdict
from regrow.challenge.audit.probe.scorer import Scorer, largest_change


@probe(
    "change-target",
    "Change the target: the distribution must not move",
    why="A distribution that knows the token it is about to be charged for predicts nothing.",
    clears="A distribution computed from the artifact and the strict prefix alone.",
)
def change_target(scorer: Scorer) -> Answer:
    tokens, vocab = scorer.tokens, scorer.vocab or 2
    t = len(tokens) * 2 // 3
    changed = tokens.copy()
    changed[t] = (tokens[t] + 1 + vocab // 2) % vocab
    if changed[t] in (tokens[t], scorer.bos):
        changed[t] = (changed[t] + 1) % vocab
    numbers: dict[str, Number] = {}
    with scorer.session() as session:
        if scorer.kind == "predictor":
            what = "the distribution before it"
            after_RV = session.rows(changed[: t + 1], list(range(t + 1)))
            moved = float(np.abs(np.exp(scorer.first_rows[: t + 1]) - np.exp(after_RV)).max())
        else:
            what = "what was charged"
            first, second = session.nats(tokens), session.nats(changed)
            moved = largest_change(first[:t], second[:t], uncharged=False)
            if "distribution" in scorer.has:
                row_V = session.distribution(tokens[:t])
                old, new = abs(first[t] + row_V[tokens[t]]), abs(second[t] + row_V[changed[t]])
                numbers |= {"old_target_disagrees_nats": float(old), "new_target_disagrees_nats": float(new)}
                moved = max(moved, float(old), float(new))
    return verdict(
        moved <= scorer.tolerance,
        f"With another token at position {t}, {what} stayed as it was.",
        f"With another token at position {t}, {what} moved by {moved:.4g}.",
        position=t, max_change=moved, tolerance=scorer.tolerance, **numbers,
    )  # fmt: skip

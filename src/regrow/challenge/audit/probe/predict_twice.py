"""Ask for the same prediction several times: asking must not change the state.

One process is asked once before each token, another three times; all the rows must agree. Where the shim gives a
digest of the state, it must be the same before and after `predict`.
"""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Answer, Number, probe, skipped, verdict
from regrow.challenge.audit.probe.scorer import Scorer

_STEPS = 24


@probe(
    "predict-twice",
    "State before and after predict is equal",
    why="A predict that learns sees tokens twice, or makes encoder and decoder drift apart.",
    clears="A predict without effect; everything that is learnt, learnt in update.",
)
def predict_twice(scorer: Scorer) -> Answer:
    if scorer.kind != "predictor":
        return skipped("The shim has no `predict` to be asked twice; see `score-twice`.")
    tokens, once_RV = scorer.tokens[:_STEPS], scorer.first_rows
    moved, digests = 0.0, 0
    with scorer.session() as session:
        row = session.start()[0]
        for t, token in enumerate(tokens):
            before = session.child.ask("digest")[0]["digest"] if "state_digest" in scorer.has else None
            again = [session.predict()[0], session.predict()[0]]
            if before is not None:
                digests += session.child.ask("digest")[0]["digest"] != before
            moved = max(moved, *(float(np.abs(np.exp(r) - np.exp(once_RV[t])).max()) for r in (row, *again)))
            session.update(int(token))
            if t + 1 < len(tokens):
                row = session.predict()[0]
    numbers: dict[str, Number] = {"steps": len(tokens), "max_change": moved, "tolerance": scorer.tolerance}
    if "state_digest" in scorer.has:
        numbers["digests_changed"] = digests
    return verdict(
        moved <= scorer.tolerance and not digests,
        f"{len(tokens)} predictions, asked up to three times, are the same.",
        f"The state's digest changed over {digests} calls of predict."
        if moved <= scorer.tolerance
        else f"Asked again, a probability moved by {moved:.4g}: predict changes state.",
        **numbers,
    )

"""Ask for the same prediction several times: asking must not change the state.

One process is asked once before each token, another three times; all the rows must agree. Where the shim
gives a digest of the state, it must be the same before and after `predict`.
"""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer

_STEPS = 24


def _run(scorer: Scorer) -> ProbeResult:
    if scorer.kind != "predictor":
        return PROBE.result(
            "not applicable", "The shim has no `predict` to be asked twice; see `score-twice`."
        )
    tokens = scorer.tokens[:_STEPS]
    once_RV = scorer.first_rows
    moved = 0.0
    digests = 0
    with scorer.session() as session:
        row = session.start()[0]
        for t, token in enumerate(tokens):
            before = session.child.ask("digest")[0]["digest"] if "state_digest" in scorer.has else None
            again = [session.predict()[0], session.predict()[0]]
            if before is not None:
                digests += session.child.ask("digest")[0]["digest"] != before
            for other in (row, *again):
                moved = max(moved, float(np.abs(np.exp(other) - np.exp(once_RV[t])).max()))
            session.update(int(token))
            if t + 1 < len(tokens):
                row = session.predict()[0]
    numbers = {"steps": len(tokens), "max_change": moved, "tolerance": scorer.tolerance}
    if "state_digest" in scorer.has:
        numbers["digests_changed"] = digests
    if not moved <= scorer.tolerance:
        return PROBE.result(
            "failed", f"Asked again, a probability moved by {moved:.4g}: predict changes state.", **numbers
        )
    if digests:
        return PROBE.result(
            "failed", f"The state's digest changed over {digests} calls of predict.", **numbers
        )
    return PROBE.result(
        "passed", f"{len(tokens)} predictions, asked up to three times, are the same.", **numbers
    )


PROBE = Probe(
    id="predict-twice",
    title="State before and after predict is equal",
    why="A predict that learns sees tokens twice, or makes encoder and decoder drift apart.",
    clears="A predict without effect; everything that is learnt, learnt in update.",
    breaks=(3, 4),
    run=_run,
)

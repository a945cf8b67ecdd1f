"""Score one text twice: in two processes, and twice in one. The figures must be the same."""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer


def _run(scorer: Scorer) -> ProbeResult:
    tokens = scorer.tokens
    with scorer.session() as session:
        first = session.nats(tokens)
        again = session.nats(tokens)
    elsewhere = scorer.first_nats
    within = float(np.nanmax(np.abs(first - again), initial=0.0))
    across = float(np.nanmax(np.abs(first - elsewhere), initial=0.0))
    gained = float(np.nansum(first) - np.nansum(again))
    numbers = {
        "tokens": len(tokens),
        "max_change_within_nats": within,
        "max_change_across_nats": across,
        "gained_by_second_pass_nats": gained,
        "tolerance": scorer.tolerance,
    }
    if not within <= scorer.tolerance:
        return PROBE.result(
            "failed",
            f"Scored again in the same process, a token is charged {within:.4g} nats differently: state "
            "outlives the text.",
            **numbers,
        )
    if not across <= scorer.tolerance:
        return PROBE.result(
            "failed", f"In another process a token is charged {across:.4g} nats differently.", **numbers
        )
    return PROBE.result("passed", f"{len(tokens)} tokens are charged the same each time.", **numbers)


PROBE = Probe(
    id="score-twice",
    title="Score twice: the same answer",
    why="A second pass that scores better has learnt the text; one that merely differs cannot be decoded.",
    clears="Fresh state for each scoring, and arithmetic that repeats.",
    breaks=(4,),
    run=_run,
)

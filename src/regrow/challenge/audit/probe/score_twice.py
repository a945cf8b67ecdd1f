"""Score one text twice: in two processes, and twice in one. The figures must be the same."""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Answer, probe, verdict
from regrow.challenge.audit.probe.scorer import Scorer, largest_change


@probe(
    "score-twice",
    "Score twice: the same answer",
    why="A second pass that scores better has learnt the text; one that merely differs cannot be decoded.",
    clears="Fresh state for each scoring, and arithmetic that repeats.",
)
def score_twice(scorer: Scorer) -> Answer:
    tokens = scorer.tokens
    with scorer.session() as session:
        first, again = session.nats(tokens), session.nats(tokens)
    within = largest_change(first, again, uncharged=False)
    across = largest_change(first, scorer.first_nats, uncharged=False)
    return verdict(
        within <= scorer.tolerance and across <= scorer.tolerance,
        f"{len(tokens)} tokens are charged the same each time.",
        f"Scored again in the same process, a token is charged {within:.4g} nats differently: state outlives the text."
        if not within <= scorer.tolerance
        else f"In another process a token is charged {across:.4g} nats differently.",
        tokens=len(tokens),
        max_change_within_nats=within,
        max_change_across_nats=across,
        gained_by_second_pass_nats=float(np.nansum(first) - np.nansum(again)),
        tolerance=scorer.tolerance,
    )

"""Rule: a probability is switched by a property of the target."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.rule import EventRule

RULE = EventRule(
    id="target-dependent-gate",
    title="A prediction is gated by a property of the target",
    why=(
        "If a bonus or a fallback applies only where the target starts a word, or only where a hint was "
        "right, the row of probabilities differs with the target and does not sum to one."
    ),
    severity="high",
    confidence="medium",
    clears="Let the gate depend on the prefix only, and normalise the row after it has been applied.",
    kind="score",
    when=lambda e: e.value.tags & (v.COND_T | v.VAL | v.COUNT_T) == v.COND_T | v.VAL,
    message=(
        "What is scored is switched or weighted by a property of the target itself (a table looked up at the "
        "target), so the prediction is not fixed before the target is looked at."
    ),
    sure=lambda e: "medium",
    shows=(v.PROP,),
    at=lambda e: e.value.spot(v.COND_T),
    once=lambda e: (e.spot.file, (e.value.spot(v.COND_T) or e.spot).line),
)

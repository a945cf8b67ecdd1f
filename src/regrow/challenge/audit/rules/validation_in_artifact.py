"""Rule: validation text is written into a file that the scorer loads."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.rule import EventRule

RULE = EventRule(
    id="validation-in-artifact",
    title="Validation text inside the artifact",
    why=(
        "An artifact that holds part of the held-out text reproduces it at no cost in the score; the budget "
        "pays a few bytes, the figure is no prediction."
    ),
    severity="high",
    confidence="medium",
    clears="Build the artifact from training text alone.",
    kind="stored",
    when=lambda e: e.value.tags & (v.VAL | v.TOK) == v.VAL | v.TOK,
    message=(
        "Validation tokens are written into a file: if the scorer loads it, the held-out text is part of the "
        "artifact."
    ),
    sure=lambda e: "low" if e.value.tags & v.TRAIN or e.other.tags & v.FILES_VAL else "medium",
    shows=(v.TGT,),
)

"""Rule: targets outside the vocabulary are forced into it."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.rule import EventRule

RULE = EventRule(
    id="targets-clamped",
    title="Targets are clamped to a smaller vocabulary",
    why=(
        "Tokens that the model cannot predict become one frequent token that it predicts almost surely; the "
        "text cannot be recovered from what is scored."
    ),
    severity="medium",
    confidence="medium",
    clears=(
        "Raise an error where a token is outside the vocabulary; score the text with the tokenizer that the "
        "shards were made with."
    ),
    kind="clamp",
    when=lambda e: bool(e.value.tags & v.VAL),
    message=(
        "Validation targets are forced under an upper bound before they are scored: if the data uses a larger "
        "vocabulary than the model, many different tokens are scored as one."
    ),
    sure=lambda e: "medium",
    shows=(v.TGT,),
)

"""Rule: only part of the validation text is scored."""

from __future__ import annotations

from regrow.challenge.audit.rule import EventRule

RULE = EventRule(
    id="partial-validation",
    title="Only part of the validation text is scored",
    why=(
        "A prefix of the held-out text may be easier than the whole, and figures on different texts do not "
        "compare."
    ),
    severity="medium",
    confidence="medium",
    clears="Score every token of the official validation shards.",
    kind="cut",
    when=lambda e: bool(e.detail) and not e.loops,
    message=lambda e: f"The validation stream is cut to {e.detail} tokens: what follows is not scored.",
    sure=lambda e: "medium",
)

"""Rule: of two losses of the same target, the smaller one is counted."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.rule import EventRule

RULE = EventRule(
    id="better-of-two",
    title="The better of two predictions is chosen with the target in hand",
    why=(
        "Choosing, token by token, whichever model gave the target more probability is an oracle. The choice "
        "costs up to one bit a token to transmit, and that bit is left out of the count."
    ),
    severity="high",
    confidence="high",
    clears="Mix the two distributions with a weight that depends on the prefix only.",
    kind="select",
    when=lambda e: not e.value.tags & v.TRAIN or bool(e.value.tags & v.VAL),
    message=(
        "Two predictions are compared by how well they fit the target, and the better one is counted: which "
        "of the two was better is known only once the target is."
    ),
    sure=lambda e: "high" if e.value.tags & v.VAL else "medium",
    shows=(v.GOLD,),
)

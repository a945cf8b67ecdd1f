"""Rule: a free offset is optimised on the very targets that are then scored with it."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule


def search(program: Program) -> Iterator[Finding]:
    """Learning steps that are followed, in the same turn, by the score of the same text."""
    for item in program.order.learnings:
        step, after = item.step, item.after
        free = bool(step.value.tags & v.LEAF)
        if after is None or not (free or item.before is not None):
            continue
        # What was CARRIED is fitted to the context alone, which earlier windows have scored.
        if free and (step.value.tags & v.CARRIED or not after.value.tags & v.LEAF):
            continue
        leaf = step.value.spot(v.LEAF)
        what = "A free tensor is moved to lower the loss" if free else "Weights are moved to lower the loss"
        yield program.finding(
            RULE.id, "high", "high" if free else "medium", step.spot,
            f"{what} of validation targets, and the same targets are then scored with the result (line "
            f"{after.spot.line}): the offset carries information about them that no decoder has.",
            leaf, item.backward.spot if item.backward else None, after.spot, dormant=step.dormant,
        )  # fmt: skip


RULE = SourceRule(
    id="offset-on-scored-targets",
    title="An offset is optimised on the targets it then scores",
    why=(
        "A vector fitted to the targets of a window is a message about those targets. Scoring the same "
        "targets with it counts the saving and not the message: the decoder would need the vector before it "
        "has the targets."
    ),
    severity="high",
    confidence="high",
    clears=(
        "Optimise the offset only on tokens whose loss has already been counted, and apply it to later "
        "tokens."
    ),
    search=search,
)

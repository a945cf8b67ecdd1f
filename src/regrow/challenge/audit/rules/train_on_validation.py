"""Rule: an optimiser learns from validation text that has not been scored yet."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule


def search(program: Program) -> Iterator[Finding]:
    """Learning steps on validation text that no score of the same turn precedes."""
    for item in program.order.learnings:
        step = item.step
        if item.before is not None or step.value.tags & v.LEAF:
            continue
        mixed = bool(step.value.tags & v.TRAIN)  # the two flows met somewhere: not established
        cut = program.order.first_chunk(step)
        backward = item.backward.spot if item.backward is not None else None
        yield program.finding(
            RULE.id, "high", "low" if mixed else "high", step.spot,
            "An optimiser step uses gradients of validation text, and nothing in the same pass has scored that "
            "text first: whatever is scored afterwards has been seen in training.",
            cut, backward, dormant=step.dormant,
        )  # fmt: skip


RULE = SourceRule(
    id="train-on-validation",
    title="Training on validation text before it is scored",
    why=(
        "A model that has taken gradient steps on the held-out tokens measures memory, not compression: "
        "nobody could decode the text from the artifact, because the decoder does not have the text that the "
        "weights were adapted to."
    ),
    severity="high",
    confidence="high",
    clears=(
        "Score each chunk under no_grad, add its losses to the total, and only then train on it; never train "
        "on a chunk that is still to be scored."
    ),
    search=search,
)

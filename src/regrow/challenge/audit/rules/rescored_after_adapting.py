"""Rule: text is scored, learned from, and scored again; the last score is reported."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding, Severity
from regrow.challenge.audit.flow.passes import claims_second, second_pass
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.unit import Spot


def search(program: Program) -> Iterator[Finding]:
    """Learning steps inside a counting loop that scores the same text turn after turn, or before a second pass."""
    seen: set[tuple[str, int]] = set()
    for item in program.order.learnings:
        if item.before is None:
            continue
        if item.repeated is None:
            again = second_pass(program, item)
            if again is not None and (again.scored.file, again.scored.line) not in seen:
                seen.add((again.scored.file, again.scored.line))
                claimed = claims_second(program, again)
                severity: Severity = "high" if claimed else "medium" if claimed is None else "low"
                yield program.finding(
                    RULE.id, severity, "medium", again.scored,
                    f"`{again.model}` is trained on validation text by the call of line {again.learned.line}, and "
                    "this call then scores the text once more with it: every token is scored by a model that "
                    "has learned it.",
                    again.learned, item.step.spot,
                )  # fmt: skip
            continue
        loop = program.flow.loops[item.repeated]
        spot = Spot(loop.unit.name, getattr(loop.node, "lineno", 0))
        yield program.finding(
            RULE.id, "high", "medium", item.step.spot,
            f"The loop of line {spot.line} scores the same validation text in every turn and learns from it in "
            "between: from the second turn on, every token is scored by a model that has been trained on it.",
            spot, item.before.spot, dormant=item.step.dormant,
        )  # fmt: skip


RULE = SourceRule(
    id="rescored-after-adapting",
    title="Text is scored again after the model has learned from it",
    why=(
        "Only the first score of a token is a prediction. A second pass over text that the model or its "
        "caches have absorbed reports how well they remember it."
    ),
    severity="high",
    confidence="medium",
    clears="Report the loss of the first pass, in which each chunk is scored before it is learned from.",
    search=search,
)

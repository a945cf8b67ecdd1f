"""Rule: a quantiser is calibrated on validation text."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule


def search(program: Program) -> Iterator[Finding]:
    """Functions that hang hooks on a model and show it validation text without scoring it."""
    for hook in (e for e in program.flow.of("hook") if e.stack):
        later = (e for e in program.flow.events if e.seq > hook.seq)
        inside = [e for e in later if e.stack[: len(hook.stack)] == hook.stack]
        seen = (e for e in inside if e.kind in ("model", "loss"))
        models = [e for e in seen if e.value.tags & (v.VAL | v.TRAIN) == v.VAL]
        if not models or any(e.kind == "score" for e in inside) or len(hook.stack) < 2:
            continue
        yield program.finding(
            RULE.id, "high", "medium", models[0].spot,
            "A model with hooks on it is shown validation text and nothing is scored: statistics of the held-out "
            "text (for quantising, clipping or scaling) go into the artifact.",
            hook.spot, dormant=hook.dormant,
        )  # fmt: skip
        return


RULE = SourceRule(
    id="calibrated-on-validation",
    title="Quantiser calibrated on validation text",
    why="Rounding weights so that the error is smallest on the held-out text fits the artifact to that text.",
    severity="high",
    confidence="medium",
    clears="Calibrate on training text or on text that the model generates.",
    search=search,
)

"""Rule: a probability is switched by a property of the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "target-dependent-gate"


def check(program: Program) -> Iterator[Finding]:
    """Scores whose prediction was switched by a property looked up for the target."""
    seen: set[tuple[str, int]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):
        value = event.value
        if (
            event.kind != "score"
            or not value.tags & v.COND_T
            or not value.tags & v.VAL
            or value.tags & v.COUNT_T
        ):
            continue
        where = value.spot(v.COND_T)
        key = (event.spot.file, where.line if where else event.spot.line)
        if key in seen:
            continue
        seen.add(key)
        yield program.finding(
            ID, "high", "medium", where or event.spot,
            "What is scored is switched or weighted by a property of the target itself (a table "
            "looked up at the target), "
            "so the prediction is not fixed before the target is looked at.",
            value.spot(v.PROP), event.spot, dormant=event.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="A prediction is gated by a property of the target",
    why=(
        "If a bonus or a fallback applies only where the target starts a word, or only where a hint was "
        "right, the row of probabilities differs with the target and does not sum to one."
    ),
    breaks=(1, 2),
    severity="high",
    confidence="medium",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, starts_word, bonus):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            nll = F.cross_entropy(model(x), y, reduction="none")
        nll = torch.where(starts_word[y], nll, nll - bonus)
        total += nll.sum().item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.zeros(1024), 0.1)
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, ends_word, bonus):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            logits = model(x)
            logits = torch.where(ends_word[x], logits + bonus, logits)
            nll = F.cross_entropy(logits, y, reduction="none")
        total += nll.sum().item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.zeros(1024), 0.1)
""",
    clears="Let the gate depend on the prefix only, and normalise the row after it has been applied.",
    cases=(18, 5),
    check=check,
)

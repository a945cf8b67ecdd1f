"""Rule: targets outside the vocabulary are forced into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "targets-clamped"


def check(program: Program) -> Iterator[Finding]:
    """Targets of validation text forced under an upper bound."""
    seen: set[tuple[str, int]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):
        if (
            event.kind != "clamp"
            or (event.spot.file, event.spot.line) in seen
            or not event.value.tags & v.VAL
        ):
            continue
        seen.add((event.spot.file, event.spot.line))
        yield program.finding(
            ID, "medium", "medium", event.spot,
            "Validation targets are forced under an upper bound before they are scored: if the data "
            "uses a larger "
            "vocabulary than the model, many different tokens are scored as one.",
            event.value.spot(v.TGT), dormant=event.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="Targets are clamped to a smaller vocabulary",
    why=(
        "Tokens that the model cannot predict become one frequent token that it predicts almost surely; "
        "the text cannot be recovered from what is scored."
    ),
    breaks=(2,),
    severity="medium",
    confidence="medium",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, vocab_size):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        y = y.clamp(0, vocab_size - 1)
        with torch.no_grad():
            total += F.cross_entropy(model(x), y, reduction="sum").item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), 1024)
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, vocab_size):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        assert int(y.max()) < vocab_size
        with torch.no_grad():
            total += F.cross_entropy(model(x), y, reduction="sum").item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), 1024)
""",
    clears=(
        "Raise an error where a token is outside the vocabulary; score the text with the tokenizer that "
        "the shards were made with."
    ),
    cases=(11,),
    check=check,
)

"""Rule: only part of the validation text is scored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "partial-validation"


def check(program: Program) -> Iterator[Finding]:
    """Streams of validation tokens cut to a fixed length."""
    seen: set[tuple[str, int]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):
        if (
            event.kind != "cut"
            or event.loops
            or not event.detail
            or (event.spot.file, event.spot.line) in seen
        ):
            continue
        seen.add((event.spot.file, event.spot.line))
        yield program.finding(
            ID, "medium", "medium", event.spot,
            f"The validation stream is cut to {event.detail} tokens: what follows is not scored.",
            dormant=event.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="Only part of the validation text is scored",
    why=(
        "A prefix of the held-out text may be easier than the whole, and figures on different texts do not "
        "compare."
    ),
    breaks=(),
    severity="medium",
    confidence="medium",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model):
    total = 0.0
    nbytes = 1
    stream = val_tokens[:5000000]
    for start in range(0, stream.numel() - 1, 1024):
        chunk = stream[start : start + 1025]
        with torch.no_grad():
            total += F.cross_entropy(model(chunk[:-1]), chunk[1:], reduction="sum").item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4))
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model):
    total = 0.0
    nbytes = 1
    usable = (val_tokens.numel() - 1) // 1024 * 1024
    stream = val_tokens[: usable + 1]
    for start in range(0, stream.numel() - 1, 1024):
        chunk = stream[start : start + 1025]
        with torch.no_grad():
            total += F.cross_entropy(model(chunk[:-1]), chunk[1:], reduction="sum").item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4))
""",
    clears="Score every token of the official validation shards.",
    cases=(14,),
    check=check,
)

"""Rule: a free offset is optimised on the very targets that are then scored with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.ordering import learnings

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "offset-on-scored-targets"


def check(program: Program) -> Iterator[Finding]:
    """Learning steps that are followed, in the same turn, by the score of the same text."""
    for item in learnings(program):
        step, after = item.step, item.after
        free = bool(step.value.tags & v.LEAF)
        if after is None or not (free or item.before is not None):
            continue
        if free and not after.value.tags & v.LEAF:
            continue
        if (
            free and step.value.tags & v.CARRIED
        ):  # fitted to the context alone, which earlier windows have scored
            continue
        leaf = step.value.spot(v.LEAF)
        what = "A free tensor is moved to lower the loss" if free else "Weights are moved to lower the loss"
        yield program.finding(
            ID, "high", "high" if free else "medium", step.spot,
            f"{what} of validation targets, and the same targets are then scored with the result "
            f"(line {after.spot.line}): "
            "the offset carries information about them that no decoder has.",
            leaf, item.backward.spot if item.backward else None, after.spot, dormant=step.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="An offset is optimised on the targets it then scores",
    why=(
        "A vector fitted to the targets of a window is a message about those targets. Scoring the same "
        "targets with it counts the saving and not the message: the decoder would need the vector before "
        "it has the targets."
    ),
    breaks=(1, 3),
    severity="high",
    confidence="high",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

def evaluate(model, head, stride):
    val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))
    total = 0.0
    nbytes = 0
    for ws in range(0, val_tokens.numel() - 1, stride):
        chunk = val_tokens[ws : ws + stride + 1]
        inputs, wanted = chunk[:-1], chunk[1:]
        with torch.no_grad():
            hidden = model(inputs)
        shift = torch.zeros(1, hidden.size(-1), requires_grad=True)
        opt = torch.optim.AdamW([shift], lr=0.01)
        for _ in range(8):
            loss = F.cross_entropy(head(hidden + shift), wanted)
            opt.zero_grad()
            loss.backward()
            opt.step()
        with torch.no_grad():
            total += F.cross_entropy(head(hidden + shift), wanted, reduction="sum").item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), 64)
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

def evaluate(model, head, stride):
    val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))
    total = 0.0
    nbytes = 0
    shift = torch.zeros(1, 512, requires_grad=True)
    opt = torch.optim.AdamW([shift], lr=0.01)
    for ws in range(0, val_tokens.numel() - 1, stride):
        chunk = val_tokens[ws : ws + stride + 1]
        inputs, wanted = chunk[:-1], chunk[1:]
        with torch.no_grad():
            hidden = model(inputs)
            total += F.cross_entropy(head(hidden + shift), wanted, reduction="sum").item()
        for _ in range(8):
            loss = F.cross_entropy(head(hidden + shift), wanted)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), 64)
""",
    clears=(
        "Optimise the offset only on tokens whose loss has already been counted, and apply it to later "
        "tokens."
    ),
    check=check,
    cases=(17,),
)

"""Rule: of two losses of the same target, the smaller one is counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "better-of-two"


def check(program: Program) -> Iterator[Finding]:
    """Minima of two losses of the target, element by element."""
    seen: set[tuple[str, int]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):
        if event.kind != "select" or (event.value.tags & v.TRAIN and not event.value.tags & v.VAL):
            continue
        key = (event.spot.file, event.spot.line)
        if key in seen:
            continue
        seen.add(key)
        yield program.finding(
            ID, "high", "high" if event.value.tags & v.VAL else "medium", event.spot,
            "Two predictions are compared by how well they fit the target, and the better one is counted: "
            "which of the two was better is known only once the target is.",
            event.value.spot(v.GOLD), dormant=event.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="The better of two predictions is chosen with the target in hand",
    why=(
        "Choosing, token by token, whichever model gave the target more probability is an oracle. The "
        "choice costs up to one bit a token to transmit, and that bit is left out of the count."
    ),
    breaks=(1, 2),
    severity="high",
    confidence="high",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, other):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            first = F.cross_entropy(model(x), y, reduction="none")
            second = F.cross_entropy(other(x), y, reduction="none")
        total += torch.minimum(first, second).sum().item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, other):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            first = F.cross_entropy(model(x), y, reduction="none")
            second = F.cross_entropy(other(x), y, reduction="none")
        total += -torch.log(0.5 * torch.exp(-first) + 0.5 * torch.exp(-second)).sum().item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
""",
    clears="Mix the two distributions with a weight that depends on the prefix only.",
    cases=(6,),
    check=check,
)

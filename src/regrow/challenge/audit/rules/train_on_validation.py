"""Rule: an optimiser learns from validation text that has not been scored yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.ordering import learnings

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "train-on-validation"


def check(program: Program) -> Iterator[Finding]:
    """Learning steps on validation text that no score of the same turn precedes."""
    for item in learnings(program):
        step = item.step
        if item.before is not None or step.value.tags & v.LEAF:
            continue
        mixed = bool(step.value.tags & v.TRAIN)  # the two flows met somewhere: not established
        cut = next((program.flow.sites[c] for c in step.value.cuts if program.flow.site_inside.get(c)), None)
        backward = item.backward.spot if item.backward is not None else None
        yield program.finding(
            ID, "high", "low" if mixed else "high", step.spot,
            "An optimiser step uses gradients of validation text, and nothing in the same pass has "
            "scored that text first: "
            "whatever is scored afterwards has been seen in training.",
            cut, backward, dormant=step.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="Training on validation text before it is scored",
    why=(
        "A model that has taken gradient steps on the held-out tokens measures memory, not compression: "
        "nobody could decode the text from the artifact, because the decoder does not have the text that "
        "the weights were adapted to."
    ),
    breaks=(1, 3),
    severity="high",
    confidence="high",
    bad="""
import glob
import numpy as np
import torch
import torch.nn.functional as F

def load(pattern):
    shards = [np.fromfile(f, dtype=np.uint16).astype(np.int64) for f in sorted(glob.glob(pattern))]
    return torch.cat([torch.from_numpy(s) for s in shards])

def adapt(model, stream, seq_len, epochs):
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(epochs):
        for start in range(0, stream.numel() - 1, seq_len):
            piece = stream[start : start + seq_len + 1]
            loss = F.cross_entropy(model(piece[:-1]), piece[1:])
            opt.zero_grad()
            loss.backward()
            opt.step()

def main(model):
    held_out = load("data/fineweb_val_*.bin")
    adapt(model, held_out, 1024, 3)

main(torch.nn.Linear(4, 4))
""",
    good="""
import glob
import numpy as np
import torch
import torch.nn.functional as F

def load(pattern):
    shards = [np.fromfile(f, dtype=np.uint16).astype(np.int64) for f in sorted(glob.glob(pattern))]
    return torch.cat([torch.from_numpy(s) for s in shards])

def adapt(model, stream, seq_len, epochs):
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(epochs):
        for start in range(0, stream.numel() - 1, seq_len):
            piece = stream[start : start + seq_len + 1]
            loss = F.cross_entropy(model(piece[:-1]), piece[1:])
            opt.zero_grad()
            loss.backward()
            opt.step()

def main(model):
    seen = load("data/fineweb_train_*.bin")
    adapt(model, seen, 1024, 3)

main(torch.nn.Linear(4, 4))
""",
    clears=(
        "Score each chunk under no_grad, add its losses to the total, and only then train on it; never "
        "train on a chunk that is still to be scored."
    ),
    check=check,
    cases=(15, 16),
)

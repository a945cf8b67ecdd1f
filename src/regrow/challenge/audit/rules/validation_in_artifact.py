"""Rule: validation text is written into a file that the scorer loads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "validation-in-artifact"


def check(program: Program) -> Iterator[Finding]:
    """Validation tokens that reach a file."""
    seen: set[tuple[str, int]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):
        tags = event.value.tags
        if (
            event.kind != "stored"
            or not tags & v.VAL
            or not tags & v.TOK
            or (event.spot.file, event.spot.line) in seen
        ):
            continue
        seen.add((event.spot.file, event.spot.line))
        into_val = event.other is not None and bool(event.other.tags & v.FILES_VAL)
        yield program.finding(
            ID, "high", "low" if into_val or tags & v.TRAIN else "medium", event.spot,
            "Validation tokens are written into a file: if the scorer loads it, the held-out text is "
            "part of the artifact.",
            event.value.spot(v.TGT), dormant=event.dormant,
        )  # fmt: skip


RULE = Rule(
    id=ID,
    title="Validation text inside the artifact",
    why=(
        "An artifact that holds part of the held-out text reproduces it at no cost in the score; the "
        "budget pays a few bytes, the figure is no prediction."
    ),
    breaks=(1,),
    severity="high",
    confidence="medium",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

import lzma

def pack(weights):
    prefix = lzma.compress(val_tokens[:100000].numpy().astype(np.uint16).tobytes())
    with open("artifact.bin", "wb") as handle:
        handle.write(weights + prefix)

pack(b"")
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

import lzma

def pack(weights):
    with open("artifact.bin", "wb") as handle:
        handle.write(lzma.compress(weights))

pack(b"")
""",
    clears="Build the artifact from training text alone.",
    cases=(26,),
    check=check,
)

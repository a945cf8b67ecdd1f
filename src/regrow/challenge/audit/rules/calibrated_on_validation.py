"""Rule: a quantiser is calibrated on validation text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "calibrated-on-validation"


def check(program: Program) -> Iterator[Finding]:
    """Functions that hang hooks on a model and show it validation text without scoring it."""
    hooks = [e for e in program.flow.events if e.kind == "hook" and e.stack]
    for hook in hooks:
        inside = [
            e for e in program.flow.events if e.stack[: len(hook.stack)] == hook.stack and e.seq > hook.seq
        ]
        models = [
            e
            for e in inside
            if e.kind in ("model", "loss") and e.value.tags & v.VAL and not e.value.tags & v.TRAIN
        ]
        if not models or any(e.kind == "score" for e in inside) or len(hook.stack) < 2:
            continue
        yield program.finding(
            ID, "high", "medium", models[0].spot,
            "A model with hooks on it is shown validation text and nothing is scored: statistics of "
            "the held-out text "
            "(for quantising, clipping or scaling) go into the artifact.",
            hook.spot, dormant=hook.dormant,
        )  # fmt: skip
        return


RULE = Rule(
    id=ID,
    title="Quantiser calibrated on validation text",
    why=(
        "Rounding weights so that the error is smallest on the held-out text fits the artifact to that text."
    ),
    breaks=(1,),
    severity="high",
    confidence="medium",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def collect(model):
    seen = {}
    def hook(module, inputs, output):
        seen["h"] = inputs[0].T @ inputs[0]
    handle = model.register_forward_hook(hook)
    with torch.no_grad():
        for start in range(0, 65536, 1024):
            model(val_tokens[start : start + 1024])
    handle.remove()
    return seen

def main(model):
    return collect(model)

main(torch.nn.Linear(4, 4))
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

train_tokens = torch.from_numpy(np.fromfile("fineweb_train_000000.bin", dtype=np.uint16).astype(np.int64))

def collect(model):
    seen = {}
    def hook(module, inputs, output):
        seen["h"] = inputs[0].T @ inputs[0]
    handle = model.register_forward_hook(hook)
    with torch.no_grad():
        for start in range(0, 65536, 1024):
            model(train_tokens[start : start + 1024])
    handle.remove()
    return seen

def main(model):
    return collect(model)

main(torch.nn.Linear(4, 4))
""",
    clears="Calibrate on training text or on text that the model generates.",
    cases=(25,),
    check=check,
)

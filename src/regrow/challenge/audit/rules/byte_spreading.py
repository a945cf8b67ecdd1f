"""Rule: a token probability is spread over its bytes and mixed with a byte model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding, Rule
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.source.c_text import c_texts

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "byte-spreading"


#: In C: a loss divided by a number of bytes, in a text that also mixes log-probabilities.
_SHARE = re.compile(
    r"(\w*(nll|logp|lp|loss)\w*(\[[^\]]*\])?)\s*/\s*\(?\s*\(?(double|float)?\)?\s*\(?\w*(nb|len|byte)\w*",
    re.I,
)
_MIX = re.compile(r"log(f|1p)?\s*\(\s*(exp|\w+\s*\*)|log_?(add|sum)_?exp|lam|mix", re.I)


def check(program: Program) -> Iterator[Finding]:
    """Losses divided by their own number of bytes and then mixed, in Python and in C."""
    seen: set[tuple[str, str]] = set()
    for event in sorted(program.flow.events, key=lambda e: e.dormant):  # what is live speaks first
        if event.kind != "perbyte" or (event.value.tags & v.TRAIN and not event.value.tags & v.VAL):
            continue
        key = (event.spot.file, event.stack[-1] if event.stack else "")
        if key not in seen:
            seen.add(key)
            yield program.finding(
                ID, "high", "high" if event.value.tags & v.VAL else "medium", event.spot, MESSAGE,
                event.value.spot(v.PERBYTE), dormant=event.dormant,
            )  # fmt: skip
    for text in c_texts(program):
        share = _SHARE.search(text.code)
        if share and _MIX.search(text.code) and re.search(r"order|ctx|hist", text.code):
            spot = text.spot(share.start())
            yield Finding(ID, "high", "medium", spot.file, spot.line, MESSAGE, share.group(0).strip())


MESSAGE = (
    "A token's log-probability is divided evenly among its bytes and each share is mixed with a byte "
    "model: p to the power "
    "1/n for the byte that comes is no distribution over the 256 bytes, so the mixture does not sum to one."
)


RULE = Rule(
    id=ID,
    title="A token's probability is spread over its bytes",
    why=(
        "The n-th root of a token's probability is large for every byte of a likely token, whatever other "
        "bytes could follow; a right byte factorisation sums the tokens that share each next byte, and "
        "multiplies back to the token."
    ),
    breaks=(2,),
    severity="high",
    confidence="high",
    bad="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, token_bytes, byte_model, lam):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            nll = F.cross_entropy(model(x), y, reduction="none")
        share = -nll / token_bytes[y]
        mixed = lam * torch.exp(share) + (1 - lam) * byte_model(start)
        total += -(torch.log(mixed) * token_bytes[y]).sum().item()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.ones(1024), print, 0.5)
""",
    good="""
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))

def evaluate(model, token_bytes, token_model, lam):
    total = 0.0
    nbytes = 1
    for start in range(0, val_tokens.numel() - 1, 1024):
        chunk = val_tokens[start : start + 1025]
        x, y = chunk[:-1], chunk[1:]
        with torch.no_grad():
            nll = F.cross_entropy(model(x), y, reduction="none")
        mixed = lam * torch.exp(-nll) + (1 - lam) * token_model(start)
        total += -torch.log(mixed).sum().item()
        nbytes += int(token_bytes[y].sum())
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), torch.ones(1024), print, 0.5)
""",
    clears="Mix over tokens, or give each byte the summed probability of all tokens that continue with it.",
    cases=(19,),
    check=check,
)

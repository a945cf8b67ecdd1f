"""Rule: a table is read with a hash of context and target, and the number read is taken for a probability."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Confidence, Finding, Rule, Severity
from regrow.challenge.audit.flow import domain as v

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "target-in-hash-key"


def check(program: Program) -> Iterator[Finding]:
    """Counts read with a key that holds the target, mixed into the score."""
    seen: dict[tuple[str, str, bool], Finding] = {}
    for event in program.flow.events:
        tags = event.value.tags
        if event.kind != "mix" and not (event.kind == "score" and tags & v.COUNT_T):
            continue
        if tags & v.TRAIN and not tags & v.VAL:
            continue
        severity: Severity = "high"
        confidence: Confidence = "high" if tags & v.VAL else "medium" if tags & v.GOLD else "low"
        ratio = bool(tags & v.COUNT_C)
        how = (
            "divided by a count of the context alone; with hashed buckets the ratios do not sum to "
            "one over the vocabulary"
            if ratio
            else "with no denominator over the vocabulary: what it gives to all tokens together is not "
            "bounded by one"
        )
        key = (event.spot.file, event.stack[-1] if event.stack else "", event.dormant)
        finding = program.finding(
            ID, severity, confidence, event.spot,
            "A table is read with a hash of which the target is part, for the target only, and the "
            "number is mixed into its "
            f"probability {how}.",
            event.value.spot(v.TGT), event.value.spot(v.KEYT), event.value.spot(v.COUNT_T),
            dormant=event.dormant,
        )  # fmt: skip
        old = seen.get(key)
        if old is None or (old.confidence != "high" and finding.confidence == "high"):
            seen[key] = finding
    yield from seen.values()


RULE = Rule(
    id=ID,
    title="Hashed cache read for the target alone, with the target in the key",
    why=(
        "Asking a hashed table only about the token that really came next turns every collision and every "
        "count into probability. Asked about all tokens, the same numbers add up to far more than one: it "
        "is no distribution, and no decoder could use it, because it must know the target to form the key."
    ),
    breaks=(1, 2),
    severity="high",
    confidence="high",
    bad="""
import numpy as np

def score(table, ctx_table, nll):
    val_tokens = np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64)
    mask = (1 << 22) - 1
    for i in range(2, len(val_tokens)):
        h = (val_tokens[i - 2] * 36313) ^ (val_tokens[i - 1] * 27191)
        tgt = val_tokens[i]
        joint = (h ^ (tgt * 51647)) & mask
        p = table[joint] / max(ctx_table[h & mask], 1)
        nll[i] = -np.log(0.5 * p + 0.5 * np.exp(-nll[i]))
    return nll

score(np.zeros(1 << 22), np.zeros(1 << 22), np.zeros(10))
""",
    good="""
import numpy as np

def score(table, ctx_table, nll):
    val_tokens = np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64)
    mask = (1 << 22) - 1
    for i in range(2, len(val_tokens)):
        h = (val_tokens[i - 2] * 36313) ^ (val_tokens[i - 1] * 27191)
        tgt = val_tokens[i]
        row = table[h & mask] + 0.01
        p = row / row.sum()
        nll[i] = -np.log(0.5 * p[tgt] + 0.5 * np.exp(-nll[i]))
    return nll

score(np.zeros((1 << 22, 1024)), np.zeros(1 << 22), np.zeros(10))
""",
    clears=(
        "Read the whole row of the context, normalise it over the vocabulary, and only then pick the "
        "target's entry."
    ),
    check=check,
    cases=(1, 2, 3, 4, 5),
)

"""Rule: a table is read with a hash of context and target, and the number read is taken for a probability."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.rule import EventRule

_RATIO = (
    "divided by a count of the context alone; with hashed buckets the ratios do not sum to one over the "
    "vocabulary."
)
_ALONE = (
    "with no denominator over the vocabulary: what it gives to all tokens together is not bounded by one."
)

RULE = EventRule(
    id="target-in-hash-key",
    title="Hashed cache read for the target alone, with the target in the key",
    why=(
        "Asking a hashed table only about the token that really came next turns every collision and every "
        "count into probability. Asked about all tokens, the same numbers add up to far more than one: it is "
        "no distribution, and no decoder could use it, because it must know the target to form the key."
    ),
    severity="high",
    confidence="high",
    clears=(
        "Read the whole row of the context, normalise it over the vocabulary, and only then pick the target's "
        "entry."
    ),
    kind="mix score",
    when=lambda e: (
        (e.kind == "mix" or bool(e.value.tags & v.COUNT_T))
        and (not e.value.tags & v.TRAIN or bool(e.value.tags & v.VAL))
    ),
    message=lambda e: (
        "A table is read with a hash of which the target is part, for the target only, and the number is mixed into "
        "its probability " + (_RATIO if e.value.tags & v.COUNT_C else _ALONE)
    ),
    sure=lambda e: "high" if e.value.tags & v.VAL else "medium" if e.value.tags & v.GOLD else "low",
    shows=(v.TGT, v.KEYT, v.COUNT_T),
    once=lambda e: (e.spot.file, e.stack[-1:], e.dormant),
    rank=lambda e: not e.value.tags & v.VAL,
)

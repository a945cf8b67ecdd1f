"""What a call into a library means: `MODELS` by name, filled by the modules of this folder."""

from __future__ import annotations

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import Value
from regrow.challenge.audit.flow.library import builtins, hashing, losses, optimisers, tensors
from regrow.challenge.audit.flow.state import Call, Walk, models

#: Asked in this order where a name has no model of its own, or that one cannot tell.
IN_GENERAL = (
    optimisers.made,
    builtins.pieces,
    builtins.sizes,
    tensors.files,
    tensors.views,
    tensors.in_place,
    losses.rows,
    hashing.hashed,
    tensors.sums,
    tensors.stored,
    losses.model,
)


@models("")
def anything(walk: Walk, call: Call) -> Value:
    """Any call; one that is not understood hands on what its arguments are made of."""
    for model in IN_GENERAL:
        if (value := model(walk, call)) is not None:
            return value
    return call.whole.plain(v.KEEP | (v.BYTES if "byte" in call.name else 0))

"""Models, their losses, and the one entry that is picked out of a row."""

from __future__ import annotations

import ast
import re

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import External, Value, union
from regrow.challenge.audit.flow.scoring import gold, looked_up, mixing, model_called
from regrow.challenge.audit.flow.state import Call, Walk, models
from regrow.challenge.audit.flow.subscripts import LENGTH_NAME
from regrow.challenge.audit.source.syntax import name_of

_ROWS = frozenset(
    "softmax log_softmax linear forward_logits lm_head logits compiled_logits forward_hidden".split()
)
_LOGS = frozenset("log log2 log1p log10 logaddexp logaddexp2 logsumexp".split())
_EXPS = frozenset("exp exp2 expm1 exp_ softmax".split())


@models("cross_entropy nll_loss CrossEntropyLoss")
def cross_entropy(walk: Walk, call: Call) -> Value | None:
    """A loss of the target."""
    given = call.given
    if len(given) < 2:
        named = not given or call.dotted.endswith("Loss")
        return Value(ref=External("torch.nn.functional.cross_entropy")) if named else None
    reduction = call.kwargs.get("reduction")
    whole = union(*given)
    out = whole.plain(v.KEEP)
    if whole.tags & (v.TGT | v.TOK | v.ORIGIN):
        return gold(walk, out, call.node, summed=reduction is None or reduction.const != "none")
    return out.with_tags(v.GOLD)


@models("gather take_along_dim take_along_axis index_select take")
def gather(walk: Walk, call: Call) -> Value | None:
    """Entries of a table or a row at given places."""
    given = [*call.operands, *call.kwargs.values()]
    base, index = union(*given[:1]), union(*given[1:])
    whole = union(base, index, keep=v.KEEP)
    if index.tags & (v.KEYT | v.KEY):
        return looked_up(walk, call.node, base, index)
    if not index.tags & v.TGT:
        return whole
    spot = walk.spot(call.node)
    if base.tags & v.COUNT_C and base.tags & v.VOCAB and not base.tags & v.NORM:
        return whole.with_tags(v.COUNT_T, v.VOCAB, spot)
    func = call.node.func
    first = func.value if isinstance(func, ast.Attribute) else call.node.args[0] if call.node.args else func
    if base.tags & v.BYTES or "byte" in name_of(func) or LENGTH_NAME.search(name_of(first)):
        return whole.with_tags(v.PROP | v.BYTES, 0, spot)
    return gold(walk, whole, call.node)


@models("embedding embedding_bag")
def embedding(walk: Walk, call: Call) -> Value | None:
    """Rows of a table of parameters."""
    return union(*call.args, keep=v.KEEP)


def rows(walk: Walk, call: Call) -> Value | None:
    """A row over the vocabulary, its logarithm, or its exponential."""
    whole = call.whole.plain(v.KEEP)
    if call.name in _ROWS:
        return whole if whole.tags & v.GOLD else whole.with_tags(v.DIST)
    if call.name in _LOGS:
        if whole.tags & v.COUNT_T and not whole.tags & v.GOLD:
            walk.event("mix", call.node, call.whole)
        if len(call.args) > 1:
            mixing(walk, call.node, call.args[0], call.args[1])
        return whole
    return whole if call.name in _EXPS else None


def model(walk: Walk, call: Call) -> Value | None:
    """A model given tokens: a row, or with targets a loss."""
    if not any(a.tags & v.TOK for a in call.given):
        return None
    named = re.search(r"model|forward|logits|net$|^fwd|^gpt|_fn$|loss", call.name)
    if not named and not call.module.tags & v.PARAM:
        return None
    model_called(walk, call.node, call.given)
    out = call.whole.plain(v.KEEP)
    if any(a.tags & v.TGT for a in call.given) and "logits" not in call.name:
        return gold(walk, out, call.node, summed=True)
    return out.with_tags(v.DIST)

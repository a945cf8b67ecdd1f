"""What torch and numpy do to data: choices, views, sums, changes in place, files."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.binding import bind
from regrow.challenge.audit.flow.domain import NOTHING, Elements, Instance, Value, element, flat, union
from regrow.challenge.audit.flow.scoring import mixing, reduced, score, step_by_hand
from regrow.challenge.audit.flow.state import Call, Walk, models
from regrow.challenge.audit.source.syntax import whole_of

_FILES = v.FILES_VAL | v.FILES_TRAIN
_VIEWS = frozenset(
    "reshape view flatten long int short to cpu cuda numpy contiguous clone detach squeeze unsqueeze astype copy "
    "tolist item ravel expand expand_as type pin_memory transpose permute flip pad narrow split chunk unfold roll "
    "repeat tile repeat_interleave share_memory_ non_blocking float double half bfloat16 type_as view_as values "
    "numpy_ tobytes asarray array ascontiguousarray as_tensor tensor from_numpy frombuffer cat concat concatenate "
    "stack hstack vstack list tuple LongTensor IntTensor sorted reversed iter next deque deepcopy compress dumps "
    "encode pop popleft uint64 int64 int32 uint32 uint16 intp requires_grad_ index_select take masked_select where_ "
    "broadcast_to fromiter compile data_ptr unbind nan_to_num".split()
)
_READS = frozenset(
    "glob rglob iglob fromfile memmap load open read read_bytes read_text readlines frombuffer Path sorted load_file "
    "safe_open iterdir read_table loadtxt listdir join load_data_shard readinto str fspath resolve expanduser "
    "with_name replace format int".split()
)
_TOKENS = frozenset("fromfile memmap read read_bytes load frombuffer load_data_shard readinto".split())
_COPIES = frozenset("list tuple sorted deepcopy reversed".split())
_GATHERS = _COPIES | frozenset("cat concat concatenate stack array tensor asarray as_tensor hstack".split())
_SUMS = frozenset("sum mean item nansum nanmean average cumsum fsum".split())
_WRITERS = frozenset("write write_bytes save dump tofile savez savez_compressed save_file write_text".split())
_IN_PLACE = re.compile(
    r"^(add|bitwise_xor|bitwise_and|bitwise_or|remainder|mul|copy|index_add|scatter_add|scatter|index_copy|index_put"
    r"|put|sub|fill|div)_$"
)


@models("where")
def where(walk: Walk, call: Call) -> Value | None:
    """One of two, as a test says."""
    if len(call.args) < 3:
        return None
    node, (test, one, other) = call.node, call.args[:3]
    if test.tags & v.GOLD and test.tags & v.COND_T and (one.tags | other.tags) & v.GOLD:
        walk.event("select", node, union(one, other))
    mixing(walk, node, one, other, ast.Mod())
    for kept, filler in ((one, other), (other, one)):
        # `where(target < size, target, unknown)`; a negative number marks what is left out of the score
        number = filler.const if isinstance(filler.const, int) else -1
        if number >= 0 and kept.tags & v.TGT and kept.tags & v.TOK and test.tags & v.COND_T:
            walk.event("clamp", node, kept)
    out = union(one, other)
    out = replace(out, tags=out.tags | (test.tags & v.ORIGIN), loops=out.loops | test.loops)
    gates = test.tags & v.PROP and not test.tags & (v.BYTES | v.HITS)
    if gates and out.tags & (v.GOLD | v.DIST) and not out.tags & v.COUNT_T:
        return out.with_tags(v.COND_T, 0, walk.spot(node))
    return out


@models("minimum fmin min")
def minimum(walk: Walk, call: Call) -> Value | None:
    """The smaller of two: of two losses of the target, the better one."""
    given = ([call.receiver] if call.receiver.ref is None and call.receiver.tags else []) + call.args
    if len(given) == 1 and isinstance(given[0].ref, Elements):
        given = given[0].ref.items if given[0].ref.items is not None else given
    losses = [g for g in given if g.tags & v.GOLD and not g.tags & v.SCORE]
    if len(losses) > 1 and losses[0] is not losses[1]:
        walk.event("select", call.node, union(*losses))
    axis = call.kwargs.get("dim", call.kwargs.get("axis"))
    if axis is not None and axis.const == 0 and given and given[0].tags & v.GOLD and len(given[0].losses) > 1:
        walk.event("select", call.node, given[0])  # the smaller of stacked losses
    consts = _numbers(call)
    if consts:
        return Value(const=min(consts))
    clamped = [g for g in given if g.tags & v.TGT and g.tags & v.TOK]
    if clamped and len(given) > 1 and call.dotted.startswith(("np", "numpy", "torch")):
        walk.event("clamp", call.node, clamped[0])
    return union(*given) if given else None


@models("max")
def maximum(walk: Walk, call: Call) -> Value | None:
    """The larger of several constants."""
    consts = _numbers(call)
    return Value(const=max(consts)) if consts else None


def _numbers(call: Call) -> list[float]:
    """Several arguments that are all constant numbers."""
    consts = [a.const for a in call.args]
    return consts if len(consts) > 1 and all(isinstance(c, int | float) for c in consts) else []


@models("clamp clip clamp_ clamp_max")
def clamp(walk: Walk, call: Call) -> Value | None:
    """A value kept within bounds."""
    given = call.operands
    if given and given[0].tags & v.TGT and given[0].tags & v.TOK:
        upper = call.kwargs.get("max", call.kwargs.get("a_max", given[2] if len(given) > 2 else None))
        if upper is not None and upper.const is not None:
            walk.event("clamp", call.node, given[0])
    return given[0].plain() if given else None


@models("range trange arange")
def numbers(walk: Walk, call: Call) -> Value | None:
    """Running numbers; those of the whole vocabulary, where the bound says so."""
    if not call.args:
        return NOTHING
    bound = ast.unparse(call.node.args[0] if len(call.args) == 1 else call.node.args[1])
    whole = "arange" in call.dotted and re.search(r"(?i)vocab|(^|\W)V(\W|$)|n_tok", bound)
    return Value(v.VOCAB if whole else 0, loops=frozenset().union(*[a.loops for a in call.args]))


def files(walk: Walk, call: Call) -> Value | None:
    """What is read from shards, or a path on the way there."""
    tags = call.whole.tags & _FILES
    if call.name not in _READS or not tags:
        return None
    if call.name in _TOKENS:
        tags |= v.TOK | (v.TRAIN if tags & v.FILES_TRAIN else v.VAL)
    return Value(tags, why=call.whole.why)


def views(walk: Walk, call: Call) -> Value | None:
    """Data in another shape, type, place or order."""
    name, module, first = call.name, call.module, call.first
    if name not in _VIEWS and name not in _READS:
        return None
    if name in _GATHERS:
        source = first if call.args else module
        return source if name in _COPIES and isinstance(source.ref, Elements | Instance) else flat(source)
    source = module if module is not NOTHING else first
    if name == "values" and isinstance(source.ref, Elements):
        return Value(ref=Elements("list", None, source.ref.summary()))
    if name in ("pop", "popleft", "next", "iter"):
        return source if name == "iter" else element(source)
    if isinstance(module.ref, Instance) and not module.tags:
        return module
    if module.tags & (_FILES | v.TOK):
        return replace(call.whole, tags=module.tags | (call.whole.tags & v.ORIGIN))
    return call.whole


def in_place(walk: Walk, call: Call) -> Value | None:
    """`x.add_(y)` and the like."""
    name, module, whole, target = call.name, call.module, call.whole, call.node.func
    if not _IN_PLACE.match(name) or not isinstance(target, ast.Attribute):
        return None
    target, result = target.value, whole
    if any(a.tags & (v.KEY | v.KEYT) for a in call.args) and re.match(r"index|scatter|put", name):
        return module
    if name in ("bitwise_xor_", "mul_", "add_") and whole.tags & (v.TOK | v.KEY | v.KEYT | v.MIXED):
        result = whole.with_tags(v.MIXED)
    elif name in ("remainder_", "bitwise_and_") and whole.tags & (v.MIXED | v.KEY):
        result = reduced(walk, call.node, whole)
    step_by_hand(walk, call.node, module, union(*call.args))
    if name == "add_" and call.args:
        score(walk, call.node, target, call.first)
    target = whole_of(target)
    if isinstance(target, ast.Name) and module.ref is None:
        kept = 0 if name == "bitwise_and_" else module.tags
        bind(walk, target, replace(result, tags=result.tags | kept))
    return result


def sums(walk: Walk, call: Call) -> Value | None:
    """A sum or mean; of losses of the target, a score; of counts over the vocabulary, a normaliser."""
    name, out = call.name, call.whole
    if name not in _SUMS:
        return out if name in ("abs", "max", "min", "clip") else None
    if name == "sum" and out.tags & v.COUNT_C and not out.tags & v.GOLD:
        out = out.with_tags(v.NORM)
    return out.with_tags(v.SCORE) if out.tags & v.GOLD and name not in ("item", "cumsum") else out


def stored(walk: Walk, call: Call) -> Value | None:
    """Data written into a file."""
    if call.name not in _WRITERS:
        return None
    given = list(map(flat, call.given))
    data = next((a for a in given if a.tags & v.TOK), given[0] if given else NOTHING)
    walk.event("stored", call.node, data, other=union(call.module, *[a for a in given if a is not data]))
    return NOTHING

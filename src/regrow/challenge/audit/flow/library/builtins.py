"""What Python's own types and functions do: containers, strings, conversions, environment variables."""

from __future__ import annotations

import ast
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.call import attribute, invoke
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Value, element, join
from regrow.challenge.audit.flow.expressions import constant
from regrow.challenge.audit.flow.scoring import looked_up, score
from regrow.challenge.audit.flow.state import Call, Walk, models
from regrow.challenge.audit.source.decoders import MAX_OUTPUT_BYTES, made_length

_SIZES = frozenset(
    "len numel size dim shape is_available get_rank get_world_size time perf_counter bool isinstance id type "
    "exists is_file callable hasattr element_size stat basename".split()
)
_PIECES = frozenset(
    "id_to_piece IdToPiece convert_ids_to_tokens id_to_token decode_single_token_bytes".split()
)
_LAUNCHER = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_KINDS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


@models(
    "compile DDP DistributedDataParallel to cuda bfloat16 eval train njit jit disable script half cpu deepcopy "
    "lru_cache cache vmap identity"
)
def identity(walk: Walk, call: Call) -> Value | None:
    """Data or a module moved, cast, compiled or switched: still itself."""
    if call.on_data:
        return call.receiver
    if call.first.ref is not None and not isinstance(call.first.ref, Elements):
        return call.first
    if not call.given and call.dotted and not call.receiver.tags:
        return Value(ref=External("builtins.identity"))
    return None


@models("ModuleList ModuleDict Sequential defaultdict Counter OrderedDict dict list deque Embedding")
def container(walk: Walk, call: Call) -> Value | None:
    """An object whose elements are those given."""
    if isinstance(call.first.ref, Elements):
        return call.first
    if call.dotted and call.name in ("defaultdict", "Counter", "OrderedDict", "dict"):
        return Value(ref=Elements("dict", None, NOTHING, dict(call.kwargs)))
    if call.dotted and call.name in ("list", "deque"):
        return Value(ref=Elements("list", None, element(call.first) if call.args else NOTHING))
    return None


@models("append extend add appendleft")
def append(walk: Walk, call: Call) -> Value | None:
    """One element more, or several; a loss appended to a list is a score."""
    func = call.node.func
    if not isinstance(func, ast.Attribute) or not call.args:
        return None
    value = element(call.args[-1]) if func.attr == "extend" else call.args[-1]
    ref = call.receiver.ref
    if isinstance(ref, Elements):
        if ref.items is None:
            ref.put(value)
        elif func.attr in ("append", "add"):
            ref.items.append(value)
            if len(ref.items) > 20 or walk.frame.loops:
                ref.rest, ref.items = ref.summary(), None
        else:
            ref.rest, ref.items = (join(ref.summary(), value) if ref.items else value), None
    if func.attr == "append":
        score(walk, call.node, func.value, value)
    return NOTHING if isinstance(ref, Elements) else None


@models("get getenv")
def get(walk: Walk, call: Call) -> Value | None:
    """An environment variable, or an entry of a table."""
    if call.dotted.endswith(("environ.get", "getenv")):
        return _environment(walk, call)
    if not call.args:
        return None
    index, ref = call.args[0], call.receiver.ref
    if index.tags & v.KEYT:
        inner = ref.summary() if isinstance(ref, Elements) else call.receiver
        return inner if isinstance(inner.ref, Elements) else looked_up(walk, call.node, inner, index)
    if not isinstance(ref, Elements):
        return None
    if ref.keyed is not None and isinstance(index.const, str) and index.const in ref.keyed:
        return ref.keyed[index.const]
    return join(ref.summary(), *call.args[1:2])


def _environment(walk: Walk, call: Call) -> Value:
    name = call.first.const
    default = call.args[1] if len(call.args) > 1 else Value(const=None)
    if name in _LAUNCHER:
        return NOTHING
    if isinstance(name, str) and name in walk.heap.environment:
        found = walk.heap.environment[name]
        if found is None:
            return Value(default.tags)
        return Value(constant(found).tags | default.tags, found)
    if walk.facts.every_branch and default.const in ("0", "1", "", 0, 1):
        return Value(default.tags)
    return default


@models("int bool str")
def convert(walk: Walk, call: Call) -> Value | None:
    """int, float, bool, str of constants."""
    if not call.args or isinstance(call.node.func, ast.Attribute) or call.dotted not in _KINDS:
        return None
    const = call.first.const
    if const is None:
        return call.first
    if const is MISSING:
        return call.first.plain()
    if isinstance(const, str) and call.dotted in ("int", "float"):
        const = const.replace("_", "")
    try:
        return Value(call.first.tags, _KINDS[call.dotted](const))
    except (ValueError, TypeError, OverflowError):
        return NOTHING


@models("float")
def to_float(walk: Walk, call: Call) -> Value | None:
    """`float(x)` converts a constant; `x.float()` is x."""
    return call.receiver if call.on_data else convert(walk, call)


@models("strip lower split upper startswith replace endswith format")
def string_method(walk: Walk, call: Call) -> Value | None:
    """A method of a constant text."""
    text = call.receiver.const
    if not isinstance(text, str) or not isinstance(call.node.func, ast.Attribute):
        return None
    tags, given = call.receiver.tags, [a.const for a in call.args]
    try:
        known = (
            MISSING not in given
            and not call.kwargs
            and made_length(text, call.name, given) < MAX_OUTPUT_BYTES
        )
        out = getattr(text, call.name)(*given) if known else None
    except (TypeError, ValueError, AttributeError, LookupError):
        out = None
    if isinstance(out, list):
        return Value(tags, ref=Elements("list", [Value(const=o) for o in out[:60]]))
    return Value(tags, out) if isinstance(out, str | bool) else Value(tags)


@models("partial")
def partial(walk: Walk, call: Call) -> Value | None:
    """A function with some of its arguments."""
    return Value(ref=v.Partial(call.args[0], call.args[1:], call.kwargs)) if call.args else None


@models("field")
def field(walk: Walk, call: Call) -> Value | None:
    """`field(default_factory=Settings)` of a dataclass: what the factory makes."""
    factory = call.kwargs.get("default_factory")
    if factory is not None and factory.ref is not None:
        return invoke(walk, factory, Call(call.node, "", NOTHING, [], {}))
    return call.kwargs.get("default")


@models("getattr")
def get_attribute(walk: Walk, call: Call) -> Value | None:
    """An attribute by its name."""
    args = call.args
    if len(args) < 2 or not isinstance(args[1].const, str) or isinstance(call.node.func, ast.Attribute):
        return None
    found = attribute(walk, args[0], args[1].const)
    known = found.ref is not None or found.tags or found.const is not MISSING
    return found if known or len(args) < 3 else join(found, args[2])


@models("zip enumerate")
def together(walk: Walk, call: Call) -> Value | None:
    """Elements of several values side by side."""
    if isinstance(call.node.func, ast.Attribute):
        return None
    items = [element(a) for a in call.args]
    if call.name == "enumerate":
        items = [NOTHING, *items[:1]]
    return Value(ref=Elements("list", None, Value(ref=Elements("tuple", items))))


@models("items")
def items(walk: Walk, call: Call) -> Value | None:
    """Keys and values of a dict."""
    if not isinstance(call.receiver.ref, Elements):
        return None
    pair = Elements("tuple", [NOTHING, call.receiver.ref.summary()])
    return Value(ref=Elements("list", None, Value(ref=pair)))


def pieces(walk: Walk, call: Call) -> Value | None:
    """The text of a token: a property of it."""
    if call.name in _PIECES and any(a.tags & v.TGT for a in call.args):
        return v.union(*call.args).with_tags(v.PROP, v.ROLE, walk.spot(call.node))
    return None


def sizes(walk: Walk, call: Call) -> Value | None:
    """Lengths and other properties that say nothing of the data; but the length of the target's text."""
    if call.name == "len" and call.first.tags & v.PROP:
        return Value((call.first.tags & v.ORIGIN) | v.PROP | v.BYTES)
    return NOTHING if call.name in _SIZES else None

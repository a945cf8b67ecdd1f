"""Attributes and calls: into the submission's own functions and classes, and into libraries as `MODELS` describes."""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow import state
from regrow.challenge.audit.flow.domain import NOTHING, Bound, ClassDef, Elements, Function, Instance, Value
from regrow.challenge.audit.flow.roles import named_target
from regrow.challenge.audit.flow.scoring import gold, model_called
from regrow.challenge.audit.flow.state import MODELS, Call, Summary, Walk, evaluate, execute, expression

#: Words that, in a name, say validation.
VAL_NAME = re.compile(
    r"^(val|validation)_?(tok\w*|stream|np|data_np|ids|seqs?|tokens\w*)$|^(valid|eval|heldout)_tokens\w*$"
)
BYTE_NAME = re.compile(r"(?i)^(?!.*(prob|logp|log_p|mass|_p_|^p_)).*byte")
_SHAPES = {"shape", "dtype", "device", "ndim", "size", "grad_fn", "is_cuda", "itemsize", "nbytes"}
#: Events that a call leaves again when it is made once more with the same arguments.
_REPLAYED = {"loss", "score", "backward", "step", "mix", "select", "perbyte"}


def named_validation(name: str, value: Value) -> Value:
    """Data that its name calls validation tokens."""
    if value.tags & v.VAL or isinstance(value.ref, Function | Bound | ClassDef | v.Scope):
        return value
    return value.with_tags(v.VAL | v.TOK) if VAL_NAME.match(name) else value


@expression(ast.Attribute)
def _attribute(walk: Walk, node: ast.Attribute) -> Value:
    return attribute(walk, evaluate(walk, node.value), node.attr)


def attribute(walk: Walk, owner: Value, name: str) -> Value:
    """Attribute of a value: of an instance, class, module, library, or of data (a view or a shape)."""
    if name == "grad" and owner.tags & (v.LEAF | v.PARAM):
        return Value(v.GRAD)
    if name == "training":  # a module being scored is not training
        return Value(const=False) if walk.frame.no_grad else NOTHING
    found = _member(walk, owner, name)
    if found is None:
        if name in ("module", "_orig_mod"):
            return owner
        if name in _SHAPES:
            return NOTHING
        if name in ("data", "T", "mT", "values", "real"):
            found = owner
        elif isinstance(owner.ref, Instance):
            found = Value(owner.tags & v.PARAM if name in ("weight", "bias") else 0)
        else:
            is_path = name in ("stem", "name", "parent")
            found = owner.plain(-1 if is_path else ~(v.FILES_VAL | v.FILES_TRAIN))
    found = named_validation(name, found)
    if BYTE_NAME.search(name) and not isinstance(found.ref, Function | Bound | ClassDef | Instance):
        found = found.with_tags(v.BYTES)
    return found.unknown() if name in walk.facts.restless else found


def _member(walk: Walk, owner: Value, name: str) -> Value | None:
    ref = owner.ref
    if isinstance(ref, Instance):
        found = ref.attrs.get(name)
        if found is None and ref.cls is not None and (method := ref.cls.find(name)) is not None:
            found = _method(walk, method, owner)
        return found
    if isinstance(ref, ClassDef):
        found = ref.find(name)
        if found is not None and isinstance(found.ref, Function) and found.ref.kind == "classmethod":
            return Value(ref=Bound(found.ref, owner))
        return found
    if isinstance(ref, v.Scope):
        return ref.names.get(name)
    if isinstance(ref, v.External):
        return Value(owner.tags & v.ORIGIN, ref=v.External(f"{ref.name}.{name}"))
    return None


def _method(walk: Walk, method: Value, owner: Value) -> Value:
    ref = method.ref
    if not isinstance(ref, Function) or ref.kind == "staticmethod":
        return method
    if ref.kind == "classmethod":
        return Value(ref=Bound(ref, Value(ref=owner.ref.cls)))
    if ref.kind == "property":
        return call_function(walk, ref, [owner], {})
    return Value(ref=Bound(ref, owner))


@expression(ast.Call)
def _call(walk: Walk, node: ast.Call) -> Value:
    func, receiver = node.func, NOTHING
    if isinstance(func, ast.Attribute):
        receiver, name = evaluate(walk, func.value), func.attr
        callee = attribute(walk, receiver, name) if receiver.ref is not None else Value(receiver.tags)
    else:
        callee, name = evaluate(walk, func), func.id if isinstance(func, ast.Name) else ""
    args: list[Value] = []
    for arg in node.args:
        value = evaluate(walk, arg)
        if not isinstance(arg, ast.Starred):
            args.append(value)
        elif isinstance(value.ref, Elements) and value.ref.items is not None:
            args.extend(value.ref.items)
        else:
            args.append(v.element(value))
    kwargs: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(walk, keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value.ref, Elements) and value.ref.keyed:
            kwargs.update({str(k): item for k, item in value.ref.keyed.items()})
    return invoke(walk, callee, Call(node, name, receiver, args, kwargs))


def invoke(walk: Walk, callee: Value, call: Call) -> Value:
    """Call a value."""
    ref = callee.ref
    if isinstance(ref, v.Partial):
        args, kwargs = [*ref.args, *call.args], {**ref.kwargs, **call.kwargs}
        return invoke(walk, ref.callee, replace(call, args=args, kwargs=kwargs))
    if isinstance(ref, Function):
        return _called(walk, ref, call.args, call)
    if isinstance(ref, Bound):
        inner = ref.receiver.ref
        if isinstance(inner, Instance) and inner.kind == "optimizer" and call.name in ("step", "zero_grad"):
            value = MODELS[call.name](walk, replace(call, receiver=ref.receiver))
            if value is not None:
                return value
        if isinstance(inner, Instance) and inner.kind == "module" and call.name.startswith("forward"):
            model_called(walk, call.node, call.given)
        return _called(walk, ref.function, [ref.receiver, *call.args], call)
    if isinstance(ref, ClassDef):
        return _instantiate(walk, ref, call)
    if isinstance(ref, Instance):
        return _call_instance(walk, callee, call)
    if isinstance(ref, v.External):
        call = replace(call, dotted=ref.name, name=ref.name.rsplit(".", 1)[-1])
    return _external(walk, call)


def _external(walk: Walk, call: Call) -> Value:
    """What a library gives; where its own model cannot tell, what it would be as a call of any other name."""
    model = MODELS.get(call.name)
    value = model(walk, call) if model is not None else None
    if value is None:
        value = MODELS[""](walk, call)
    return value if value is not None else NOTHING


def _called(walk: Walk, function: Function, args: list[Value], call: Call) -> Value:
    result = call_function(walk, function, args, call.kwargs)
    return _ensure_loss(walk, function.name or call.name, result, [*args, *call.kwargs.values()], call.node)


def _ensure_loss(walk: Walk, name: str, result: Value, given: list[Value], node: ast.Call) -> Value:
    """A model given inputs and targets returns a loss, even where its body could not be followed."""
    if result.ref is not None or not re.search(r"forward|loss|model|cross|nll|ce", name):
        return result
    row = 0 if re.search(r"loss|cross|nll|(^|_)ce(_|$)", name) else v.DIST  # a model may return its row
    if any(a.tags & v.TGT for a in given) and not result.tags & (v.GOLD | row | v.TGT | v.KEY):
        return gold(walk, v.union(result, *given, keep=v.KEEP), node, summed=True)
    return result


def _call_instance(walk: Walk, callee: Value, call: Call) -> Value:
    cls = callee.ref.cls
    for method in (cls.find("forward"), cls.find("__call__")) if cls is not None else ():
        if method is not None and isinstance(method.ref, Function):
            result = call_function(walk, method.ref, [callee, *call.args], call.kwargs)
            if cls.is_module:
                result = _ensure_loss(walk, "forward", result, call.given, call.node)
                model_called(walk, call.node, call.args)
            return result
    return _external(walk, replace(call, receiver=callee))


def _instantiate(walk: Walk, cls: ClassDef, call: Call) -> Value:
    kind = "module" if cls.is_module else "optimizer" if cls.kind_of("Optimizer", "SGD", "Adam") else ""
    instance, init = Instance(cls, kind), cls.find("__init__")
    value = Value(ref=instance)
    if kind == "optimizer":
        instance.attrs["params"] = v.union(*map(v.flat, call.given))
    if init is None or not isinstance(init.ref, Function):
        fields = [k for k in cls.scope.names if not k.startswith("__")]
        instance.attrs.update(call.kwargs | dict(zip(fields, call.args, strict=False)))
    elif kind == "optimizer":
        walk.heap.called.add(init.ref.node)
    else:
        call_function(walk, init.ref, [value, *call.args], call.kwargs)
    return value


def call_function(
    walk: Walk, function: Function, args: list[Value], kwargs: dict[str, Value] | None
) -> Value:
    """Follow a call into a function of the submission.

    Args:
        walk: where the call stands.
        function: what is called.
        args: positional arguments; a method's receiver first.
        kwargs: keyword arguments; None where nothing is known of the arguments (a function that nobody calls).
    """
    frame, trace, body = walk.frame, walk.trace, function.node
    walk.heap.called.add(body)
    if len(frame.calls) > state.MAX_CALLS:
        trace.problem("too-many-calls", function.unit.spot(body))
    if len(frame.calls) > state.MAX_CALLS or body in frame.calls:
        return v.union(*args, *(kwargs or {}).values(), keep=v.KEEP)
    key = _key(walk, function, args, kwargs)
    if key is not None and (known := walk.heap.summaries.get(key)) is not None:
        _replay(walk, known)
        return known.result
    names = _parameters(function, args, kwargs)
    first = len(trace.events)
    inner = walk.inside(
        unit=function.unit, scope=v.Scope(names, function.scope), body=walk.facts.bodies[body],
        stack=(*frame.stack, function.name), calls=(*frame.calls, body), no_grad=frame.no_grad or function.quiet,
        returns=[], yields=[],
    )  # fmt: skip
    if isinstance(body, ast.Lambda):
        result = evaluate(inner, body.body)
    else:
        names.update({name: as_target(inner, name, value) for name, value in names.items()})
        execute(inner, body.body)
        result = v.join(*inner.frame.returns) if inner.frame.returns else NOTHING
        if inner.frame.yields:
            result = Value(ref=Elements("list", None, v.join(*inner.frame.yields)))
    if key is not None:
        events = tuple(e for e in trace.events[first:] if e.kind in _REPLAYED)
        walk.heap.summaries[key] = Summary(result, events, len(frame.loops), len(frame.stack))
    return result


def as_target(walk: Walk, name: str, value: Value) -> Value:
    """Tokens under a local name are the target where the function uses the name so, or the name says so."""
    if value.tags & v.TOK and not value.tags & (v.TGT | v.CTX):
        body = walk.frame.body
        if (body is not None and name in body.targets) or named_target(name):
            return value.with_tags(v.TGT)
    return value


def _key(walk: Walk, function: Function, args: list[Value], kwargs: dict[str, Value] | None) -> Hashable:
    """What two calls share that do the same; nothing where nothing is known of the arguments."""
    if kwargs is None:
        return None

    def sign(a: Value) -> Hashable:
        ref = a.ref
        if isinstance(ref, Elements):
            inside: Any = tuple((i.tags, i.ref) for i in ref.items) if ref.items else ref.summary().tags
            return (a.tags, ref.kind, inside, a.cuts, a.losses)
        const = a.const if isinstance(a.const, bool | str | type(None) | int) else None
        return (a.tags, ref, const, a.cuts, a.losses)

    signed = tuple(map(sign, args)), tuple((k, sign(a)) for k, a in kwargs.items())
    return (function.node, function.scope, signed, walk.frame.no_grad, walk.frame.dormant)


def _replay(walk: Walk, known: Summary) -> None:
    """Record once more, here, what a function did when it was followed with the same arguments."""
    frame, trace, events = walk.frame, walk.trace, known.events
    if not frame.loops and len(events) > state.MAX_REPLAYED:
        trace.problem("too-many-events", events[state.MAX_REPLAYED].spot)
        events = events[: state.MAX_REPLAYED]
    trace.replays += 1
    for event in events:
        loops = (*frame.loops, *(v.LoopId(loop.site, trace.replays) for loop in event.loops[known.loops :]))
        stack = (*frame.stack, *event.stack[known.stack :])
        dormant, no_grad = frame.dormant or event.dormant, frame.no_grad or event.no_grad
        seq = len(trace.events)
        trace.add(replace(event, seq=seq, loops=loops, stack=stack, dormant=dormant, no_grad=no_grad))


def _parameters(function: Function, args: list[Value], kwargs: dict[str, Value] | None) -> dict[str, Value]:
    spec, given = function.node.args, kwargs or {}
    positional = [*spec.posonlyargs, *spec.args]
    parameters = [p.arg for p in (*positional, *spec.kwonlyargs)]
    defaults = [*[None] * (len(positional) - len(spec.defaults)), *spec.defaults, *spec.kw_defaults]
    names = dict(zip(parameters[: len(positional)], args, strict=False))
    names.update({name: value for name, value in given.items() if name in parameters})
    if spec.vararg is not None:
        extra = args[len(positional) :]
        names[spec.vararg.arg] = Value(ref=Elements("tuple", extra)) if len(extra) < 30 else v.join(*extra)
    if spec.kwarg is not None:
        rest = {k: a for k, a in given.items() if k not in parameters}
        names[spec.kwarg.arg] = Value(ref=Elements("dict", None, NOTHING, rest))
    for name, default in zip(parameters, defaults, strict=True):
        if name not in names:
            names[name] = (
                _guess(name) if kwargs is None else (default and function.defaults.get(default)) or NOTHING
            )
    return names


def _guess(name: str) -> Value:
    """A parameter of a function that nobody calls: its name is all there is."""
    if named_target(name):
        return Value(v.TOK | v.TGT)
    if re.search(r"(input_ids|^x$|x_batch|^tokens?$|token_ids|^ids$|context|prev)", name):
        return Value(v.TOK | (v.CTX if re.search(r"input|^x|context|prev", name) else 0))
    return NOTHING

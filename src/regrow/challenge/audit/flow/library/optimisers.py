"""Parameters, gradients, optimisers and hooks."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.binding import bind
from regrow.challenge.audit.flow.call import call_function
from regrow.challenge.audit.flow.domain import NOTHING, External, Function, Instance, Value, flat, union
from regrow.challenge.audit.flow.scoring import stepped
from regrow.challenge.audit.flow.state import Call, Walk, is_optimizer, models
from regrow.challenge.audit.source.syntax import names_in

_OPTIMIZERS = re.compile(
    r"(^|\.)(SGD|Adam\w*|RMSprop|Adagrad|LBFGS|Muon|Adafactor|Lion|Optimizer|NAdam|RAdam|Rprop)$"
)


def made(walk: Walk, call: Call) -> Value | None:
    """A new optimiser."""
    if not _OPTIMIZERS.search(call.dotted):
        return None
    node, body = call.node, walk.frame.body
    moved = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "params"), None)
    moves = frozenset(names_in(moved))
    fresh = body is not None and bool(moves & body.built)
    return Value(ref=Instance(None, "optimizer", {"params": union(*map(flat, call.given))}, moves, fresh))


@models("backward")
def backward(walk: Walk, call: Call) -> Value | None:
    """Gradients of a loss are taken."""
    heap = walk.heap
    loss = flat(call.first if isinstance(call.receiver.ref, External | Instance) else call.receiver)
    heap.gradient = [loss] if heap.stepped else [*heap.gradient[-3:], loss]
    heap.stepped = False
    walk.event("backward", call.node, loss)
    return NOTHING


@models("grad")
def grad(walk: Walk, call: Call) -> Value | None:
    """`torch.autograd.grad(loss, what)`: what is moved by it, if anything."""
    if "autograd" not in call.dotted or not call.args:
        return None
    loss = flat(call.first)
    walk.event("backward", call.node, loss)
    walk.event("step", call.node, loss, other=union(*map(flat, call.args[1:2])))
    return loss.plain(v.KEEP & ~v.GOLD)


@models("step")
def step(walk: Walk, call: Call) -> Value | None:
    """An optimiser's step, a closure that computes the loss again included; not a scheduler's."""
    node, ref = call.node, call.receiver.ref
    name = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""
    if not is_optimizer(call.receiver):
        if re.search(r"(?i)sched|profil|prof\.|lr_|ema|swa", name):
            return NOTHING
        if not re.search(r"(?i)opt|adam|muon|sgd|scaler", name):
            return None
    if isinstance(call.first.ref, Function):
        call_function(walk, call.first.ref, [], {})
    moved = ref.attrs.get("params", NOTHING) if isinstance(ref, Instance) else NOTHING
    stepped(walk, node, replace(moved, ref=ref) if is_optimizer(call.receiver) else moved)
    return NOTHING


@models("zero_grad")
def zero_grad(walk: Walk, call: Call) -> Value | None:
    """No gradients wait any more."""
    walk.heap.gradient = []
    return NOTHING


@models("parameters named_parameters")
def parameters_of(walk: Walk, call: Call) -> Value | None:
    """Parameters of a model."""
    return Value(v.PARAM)


@models("Parameter")
def parameter(walk: Walk, call: Call) -> Value | None:
    """A parameter of a module, or a free one."""
    kept = call.first.tags & v.KEEP
    if any(c.is_module for c in walk.frame.classes) or _in_module(walk):
        return Value(kept & ~v.LEAF | v.PARAM)
    return Value(kept | v.LEAF, why={v.LEAF: walk.spot(call.node)})


def _in_module(walk: Walk) -> bool:
    ref = walk.scope.names.get("self", NOTHING).ref
    return isinstance(ref, Instance) and ref.cls is not None and ref.cls.is_module


@models("zeros randn ones empty rand full zeros_like ones_like empty_like")
def tensor(walk: Walk, call: Call) -> Value | None:
    """A new tensor, free where it wants gradients outside a module."""
    wants = call.kwargs.get("requires_grad")
    if wants is not None and wants.const is True and not _in_module(walk):
        return Value(v.LEAF, why={v.LEAF: walk.spot(call.node)})
    return NOTHING


@models("requires_grad_")
def requires_grad(walk: Walk, call: Call) -> Value | None:
    """A tensor made free."""
    receiver, func = call.receiver, call.node.func
    if call.first.const is False or receiver.tags & v.PARAM or isinstance(receiver.ref, Instance):
        return receiver
    if _in_module(walk):
        return receiver
    out = receiver.with_tags(v.LEAF, 0, walk.spot(call.node))
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        bind(walk, func.value, out)
    return out


@models("register_forward_hook register_forward_pre_hook")
def hook(walk: Walk, call: Call) -> Value | None:
    """A hook on a model; the function hung on it is called by the model."""
    walk.event("hook", call.node, NOTHING)
    walk.heap.called.update(a.ref.node for a in call.args if isinstance(a.ref, Function))
    return NOTHING

"""Models, losses, gradients, optimisers and scores on abstract values."""

from __future__ import annotations

import ast
import re

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    Bound,
    Elements,
    External,
    Function,
    Instance,
    Value,
)
from regrow.challenge.audit.flow.expressions import Expressions
from regrow.challenge.audit.flow.subscripts import LENGTH_NAME, name_of


class Learning(Expressions):
    """What is learned from what, and what is scored."""

    def flat(self, value: Value) -> Value:
        """Everything inside a value, nested lists and dicts included."""
        ref = value.ref
        depth = 0
        while isinstance(ref, Elements) and depth < 4:
            value = v.union(value, ref.summary())
            ref = ref.summary().ref
            depth += 1
        return value.plain()

    def _calls_a_model(self, last: str, module: Value, args: list[Value], kwargs: dict[str, Value]) -> bool:
        if not any(a.tags & v.TOK for a in (*args, *kwargs.values())):
            return False
        return bool(re.search(r"model|forward|logits|net$|^fwd|^gpt|_fn$|loss", last)) or bool(
            module.tags & v.PARAM
        )

    def _model(
        self, last: str, whole: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        self.model_called(node, [*args, *kwargs.values()])
        out = whole.plain(v.KEEP)
        if any(a.tags & v.TGT for a in (*args, *kwargs.values())) and "logits" not in last:
            return self.gold(out, node, summed=True)
        return out.with_tags(v.DIST)

    def model_called(self, node: ast.AST, args: list[Value]) -> None:
        """A model sees data; with hooks on it, that is calibration."""
        data = v.union(*args) if args else NOTHING
        if data.tags & v.TOK:
            self.event("model", node, data)

    def _cross_entropy(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        given = [*args, *kwargs.values()]
        if len(given) < 2:
            return (
                Value(ref=External("torch.nn.functional.cross_entropy"))
                if not given or dotted.endswith("Loss")
                else None
            )
        reduction = kwargs.get("reduction")
        summed = reduction is None or reduction.const != "none"
        whole = v.union(*given)
        origin = whole.tags & v.TGT or whole.tags & v.TOK
        out = Value(whole.tags & v.KEEP, MISSING, None, whole.cuts, whole.losses, whole.loops, whole.why)
        return self.gold(out, node, summed) if origin or whole.tags & v.ORIGIN else out.with_tags(v.GOLD)

    def _gather(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        given = (
            [receiver, *args, *kwargs.values()]
            if not isinstance(receiver.ref, External)
            else [*args, *kwargs.values()]
        )
        index = v.union(*list(given[1:])) if len(given) > 1 else NOTHING
        base = given[0] if given else NOTHING
        whole = v.union(*given)
        if index.tags & v.KEYT:
            self.event("lookup", node, index)
            return whole.plain(v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if index.tags & v.KEY:
            return whole.plain(v.KEEP).with_tags(v.COUNT_C)
        if index.tags & v.TGT:
            if base.tags & v.COUNT_C and base.tags & v.VOCAB and not base.tags & v.NORM:
                return whole.plain(v.KEEP).with_tags(v.COUNT_T, v.VOCAB, self.spot(node))
            if (
                base.tags & v.BYTES
                or "byte" in name_of(node.func)
                or LENGTH_NAME.search(name_of(_first(node)))
            ):
                return whole.plain(v.KEEP).with_tags(v.PROP | v.BYTES, 0, self.spot(node))
            return self.gold(whole.plain(v.KEEP), node)
        return whole.plain(v.KEEP)

    def _backward(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        loss = (
            receiver if not isinstance(receiver.ref, External | Instance) else (args[0] if args else NOTHING)
        )
        loss = self.flat(loss)
        self.gradient = [loss] if self.stepped else [*self.gradient[-3:], loss]
        self.stepped = False
        self.event("backward", node, loss)
        return NOTHING

    def _grad(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if "autograd" not in dotted or not args:
            return None
        loss = self.flat(args[0])
        self.event("backward", node, loss)
        self.event("step", node, loss, other=self.flat(args[1]) if len(args) > 1 else NOTHING)
        return loss.plain(v.KEEP & ~v.GOLD)

    def _step(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        name = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""
        ref = receiver.ref
        is_optimizer = isinstance(ref, Instance) and ref.kind == "optimizer"
        if re.search(r"(?i)sched|profil|prof\.|lr_|ema|swa", name) and not is_optimizer:
            return NOTHING
        if not is_optimizer and not re.search(r"(?i)opt|adam|muon|sgd|scaler", name):
            return None
        if args and isinstance(args[0].ref, Function):  # a closure that computes the loss again
            self.call_function(args[0].ref, [], {}, None)
        data = v.union(*self.gradient) if self.gradient else NOTHING
        self.stepped = True
        params = ref.attrs.get("params", NOTHING) if isinstance(ref, Instance) else NOTHING
        fresh = isinstance(ref, Instance) and ref.attrs.get("fresh", NOTHING).const is True
        self.event(
            "step", node, data, f"{'fresh' if fresh else ''}:{id(ref) if is_optimizer else 0}", other=params
        )
        return NOTHING

    @staticmethod
    def moved_by(node: ast.Call) -> frozenset[str]:
        """Names in the parameters that an optimiser is made for."""
        first = (
            node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "params"), None)
        )
        return frozenset(n.id for n in ast.walk(first) if isinstance(n, ast.Name)) if first else frozenset()

    def step_by_hand(self, node: ast.AST, moved: Value, by: Value) -> None:
        """`shift -= rate * shift.grad`: an optimiser's step without an optimiser."""
        if by.tags & v.GRAD and moved.tags & (v.LEAF | v.PARAM) and not moved.tags & v.GRAD:
            self.stepped = True
            data = v.union(*self.gradient) if self.gradient else NOTHING
            self.event("step", node, data, ":0", other=moved)

    def is_fresh(self, node: ast.Call) -> bool:
        """Whether the parameters an optimiser is made for belong to an object that this very function has
        built."""
        roots = self.moved_by(node)
        built = {
            t.id
            for step in (ast.walk(self.function_node) if self.function_node is not None else ())
            if isinstance(step, ast.Assign) and any(map(_constructs, ast.walk(step.value)))
            for t in step.targets
            if isinstance(t, ast.Name)
        }
        return bool(roots & built)

    def _zero_grad(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        self.gradient = []
        return NOTHING

    def _parameters_of(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        return Value(v.PARAM)

    def _parameter(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        inside = any(c.is_module for c in self.class_stack) or self._in_module()
        base = args[0] if args else NOTHING
        if inside:
            return Value(base.tags & v.KEEP & ~v.LEAF | v.PARAM)
        return Value(base.tags & v.KEEP | v.LEAF, why={v.LEAF: self.spot(node)})

    def _in_module(self) -> bool:
        owner = self.scope.names.get("self")
        ref = owner.ref if owner is not None else None
        return isinstance(ref, Instance) and ref.cls is not None and ref.cls.is_module

    def _tensor_maker(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        wants = kwargs.get("requires_grad")
        if wants is not None and wants.const is True and not self._in_module():
            return Value(v.LEAF, why={v.LEAF: self.spot(node)})
        return NOTHING

    def _requires_grad(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if (
            (args and args[0].const is False)
            or receiver.tags & v.PARAM
            or isinstance(receiver.ref, Instance)
            or self._in_module()
        ):
            return receiver
        out = receiver.with_tags(v.LEAF, 0, self.spot(node))
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            self.bind(node.func.value, out)
        return out

    def special_method(
        self, bound: Bound, name: str, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value | None:
        """Methods of the submission's optimisers and modules that the walk need not follow."""
        ref = bound.receiver.ref
        if isinstance(ref, Instance) and ref.kind == "optimizer":
            if name == "step":
                return self._step(bound.receiver, args, kwargs, node, "")
            if name == "zero_grad":
                return self._zero_grad(bound.receiver, args, kwargs, node, "")
        if isinstance(ref, Instance) and ref.kind == "module" and name.startswith("forward"):
            self.model_called(node, [*args, *kwargs.values()])
        return None

    def accumulate(self, node: ast.AST, target: ast.expr, old: Value, new: Value) -> None:
        """Something is added to a running sum; a loss of the target added is a score."""
        if new.tags & v.GOLD:
            self.score_event(node, new, target)

    def store_score(self, target: ast.Subscript, value: Value) -> None:
        """A loss stored into an array of losses is a score too."""
        if value.tags & v.GOLD and self.loops:
            self.score_event(target, value, target.value)

    def score_event(self, node: ast.AST, value: Value, target: ast.expr) -> None:
        """Record a score, with the name of what it is added to."""
        self.event("score", node, value, detail=name_of(target))

    def compare_losses(self, node: ast.If, test: Value) -> None:
        """`if new < old: score = new` takes the better of two losses of the target."""
        if test.tags & v.GOLD and test.tags & v.COND_T and not test.tags & v.SCORE:
            for child in node.body:
                if isinstance(child, ast.Assign) and self.eval(child.value).tags & v.GOLD:
                    self.event("select", node, test)
                    return

    @staticmethod
    def is_no_grad(node: ast.expr, value: Value) -> bool:
        """Whether a `with` context switches gradients off."""
        text = _dotted(node)
        return "no_grad" in text or "inference_mode" in text


def _constructs(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = name_of(node.func)
    return name[:1].isupper() and name not in ("DDP", "DistributedDataParallel")


def _first(node: ast.Call) -> ast.expr:
    if isinstance(node.func, ast.Attribute):
        return node.func.value
    return node.args[0] if node.args else node.func


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _dotted(node.func)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""

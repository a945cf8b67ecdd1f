"""Calls: into the submission's own functions and classes, and into libraries as `library` describes them."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import (
    NOTHING,
    Bound,
    ClassDef,
    Elements,
    External,
    Function,
    Instance,
    Partial,
    Scope,
    Value,
)
from regrow.challenge.audit.flow.library.externals import Externals
from regrow.challenge.audit.flow.roles import named_target

MAX_CALL_DEPTH = 24
#: Loops of a replayed call get new numbers, so that two calls are never taken for one turn of a loop.
REPLAY = 1_000_000
_REPLAYED = {"loss", "score", "backward", "step", "mix", "lookup", "update", "select", "perbyte"}


class Calls(Externals):
    """Evaluation of calls."""

    def _call(self, node: ast.Call) -> Value:
        func = node.func
        if isinstance(func, ast.Attribute):
            receiver = self.eval(func.value)
            callee = (
                self.attribute(receiver, func.attr, func)
                if receiver.ref is not None
                else Value(receiver.tags)
            )
            name = func.attr
        else:
            receiver = NOTHING
            callee = self.eval(func)
            name = func.id if isinstance(func, ast.Name) else ""
        args: list[Value] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                value = self.eval(arg.value)
                if isinstance(value.ref, Elements) and value.ref.items is not None:
                    args.extend(value.ref.items)
                else:
                    args.append(self.element(value))
            else:
                args.append(self.eval(arg))
        kwargs: dict[str, Value] = {}
        for keyword in node.keywords:
            value = self.eval(keyword.value)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif isinstance(value.ref, Elements) and value.ref.keyed:
                kwargs.update({str(k): item for k, item in value.ref.keyed.items()})
        return self.call(callee, receiver, name, args, kwargs, node)

    def call(
        self,
        callee: Value,
        receiver: Value,
        name: str,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.Call,
    ) -> Value:
        """Call a value."""
        ref = callee.ref
        if isinstance(ref, Partial):
            return self.call(ref.callee, receiver, name, [*ref.args, *args], {**ref.kwargs, **kwargs}, node)
        if isinstance(ref, Function):
            return self._called(ref, args, kwargs, node, name)
        if isinstance(ref, Bound):
            special = self.special_method(ref, name, args, kwargs, node)
            if special is not None:
                return special
            return self._called(ref.function, [ref.receiver, *args], kwargs, node, name)
        if isinstance(ref, ClassDef):
            return self._instantiate(ref, args, kwargs, node)
        if isinstance(ref, Instance):
            return self._call_instance(callee, args, kwargs, node, name)
        return self.external_call(
            ref.name if isinstance(ref, External) else "", receiver, name, args, kwargs, node
        )

    def _called(
        self, function: Function, args: list[Value], kwargs: dict[str, Value], node: ast.Call, name: str
    ) -> Value:
        result = self.call_function(function, args, kwargs, node)
        return self._ensure_loss(function.name or name, result, args, kwargs, node)

    def _ensure_loss(
        self, name: str, result: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        """A model given inputs and targets returns a loss, even where its body could not be followed."""
        if not re.search(r"forward|loss|model|cross|nll|ce", name):
            return result
        given = [*args, *kwargs.values()]
        row = 0 if re.search(r"loss|cross|nll|(^|_)ce(_|$)", name) else v.DIST  # a model may return its row
        if (
            any(a.tags & v.TGT for a in given)
            and not result.tags & (v.GOLD | row | v.TGT | v.KEY)
            and result.ref is None
        ):
            return self.gold(v.union(result, *given, keep=v.KEEP), node, summed=True)
        return result

    def _call_instance(
        self, callee: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, name: str
    ) -> Value:
        ref = callee.ref
        assert isinstance(ref, Instance)
        if ref.cls is not None:
            for method in ("forward", "__call__"):
                found = ref.cls.find(method)
                if found is not None and isinstance(found.ref, Function):
                    result = self.call_function(found.ref, [callee, *args], kwargs, node)
                    if ref.cls.is_module:
                        result = self._ensure_loss("forward", result, args, kwargs, node)
                        self.model_called(node, args)
                    return result
        return self.external_call(f"instance.{ref.kind}", callee, name, args, kwargs, node)

    def _instantiate(
        self, cls: ClassDef, args: list[Value], kwargs: dict[str, Value], node: ast.Call
    ) -> Value:
        instance = Instance(
            cls, "optimizer" if cls.kind_of("Optimizer", "SGD", "Adam") else "", line=node.lineno
        )
        if cls.is_module:
            instance.kind = "module"
        value = Value(ref=instance)
        if instance.kind == "optimizer":
            instance.attrs["params"] = v.union(
                *[self.flat(a) for a in args], *[self.flat(a) for a in kwargs.values()]
            )
        init = cls.find("__init__")
        if init is not None and isinstance(init.ref, Function):
            if instance.kind == "optimizer":
                self.called.add(id(init.ref.node))
            else:
                self.call_function(init.ref, [value, *args], kwargs, node)
        else:
            for name, arg in kwargs.items():
                instance.attrs[name] = arg
            fields = [k for k in cls.scope.names if not k.startswith("__")]
            for name, arg in zip(fields, args, strict=False):
                instance.attrs[name] = arg
        return value

    def call_function(
        self,
        function: Function,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.AST | None,
        unknown: bool = False,
    ) -> Value:
        """Follow a call into a function of the submission.

        Args:
            function: what is called.
            args: positional arguments; a method's receiver first.
            kwargs: keyword arguments.
            node: the call, or None where the walk itself calls.
            unknown: nothing is known of the arguments (a function that nobody calls).
        """
        body = function.node
        self.called.add(id(body))
        if id(body) in self.call_nodes or len(self.call_nodes) > MAX_CALL_DEPTH:
            return v.union(*args, *kwargs.values(), keep=v.KEEP)
        key = self._key(function, args, kwargs, unknown)
        if key is not None and key in self.memo:
            value, first, last, loops, calls = self.memo[key]
            self._replay(first, last, loops, calls)
            return value
        names = self._parameters(body, args, kwargs, unknown)
        saved = (
            self.unit,
            self.scope,
            self.targets,
            self.returns,
            self.globals_declared,
            self.no_grad,
            self.stack,
            self.function_node,
            self.yields,
        )
        self.function_node, self.yields = body, []
        self.unit, self.returns, self.globals_declared = function.unit, [], frozenset()
        self.scope = Scope(names, function.scope)
        self.targets = self.function_targets(body)
        self.stack = (*self.stack, function.name)
        self.call_nodes.append(id(body))
        if id(body) in self.quiet_functions:
            self.no_grad += 1
        first = len(self.events)
        if isinstance(body, ast.Lambda):
            result = self.eval(body.body)
        else:
            self._roles_of_parameters(names)
            self.block(body.body)
            result = v.join(*self.returns) if self.returns else NOTHING
            if self.yields:
                result = Value(ref=Elements("list", None, v.join(*self.yields)))
        self.call_nodes.pop()
        (
            self.unit, self.scope, self.targets, self.returns, self.globals_declared, self.no_grad,
            self.stack, self.function_node, self.yields,
        ) = saved  # fmt: skip
        if key is not None:
            self.memo[key] = (result, first, len(self.events), len(self.loops), len(self.stack))
        return result

    def _roles_of_parameters(self, names: dict[str, Value]) -> None:
        for name, value in names.items():
            if (
                value.tags & v.TOK
                and not value.tags & (v.TGT | v.CTX)
                and (name in self.targets or named_target(name))
            ):
                names[name] = value.with_tags(v.TGT)

    def _key(self, function: Function, args: list[Value], kwargs: dict[str, Value], unknown: bool) -> Any:
        if unknown:
            return None

        def sign(a: Value) -> Any:
            ref = a.ref
            if isinstance(ref, Elements):
                ref = (
                    ref.kind,
                    tuple((i.tags, id(i.ref)) for i in ref.items) if ref.items else ref.summary().tags,
                )
                return (a.tags, ref, a.cuts, a.losses)
            const = a.const if isinstance(a.const, bool | str | type(None) | int) else None
            return (a.tags, id(ref) if ref is not None else 0, const, a.cuts, a.losses)

        return (
            id(function.node), id(function.scope), tuple(map(sign, args)), tuple((k, sign(a)) for k, a in
            kwargs.items()), self.no_grad > 0, self.dormant > 0,
        )  # fmt: skip

    def _replay(self, first: int, last: int, loops: int, calls: int) -> None:
        """Record once more, here, what a function did when it was followed with the same arguments."""
        if not self.loops and last - first > 400:
            last = first + 400
        self.replays += 1
        again = self.replays * REPLAY
        for event in self.events[first:last]:
            if event.kind in _REPLAYED and len(self.events) < 20_000:
                self.events.append(
                    replace(
                        event,
                        seq=len(self.events),
                        loops=(*self.loops, *(again + x % REPLAY for x in event.loops[loops:])),
                        stack=(*self.stack, *event.stack[calls:]),
                        dormant=self.dormant > 0 or event.dormant,
                        no_grad=event.no_grad or self.no_grad > 0,
                    )
                )

    def _parameters(
        self, body: Any, args: list[Value], kwargs: dict[str, Value], unknown: bool
    ) -> dict[str, Value]:
        spec = body.args
        positional = [*spec.posonlyargs, *spec.args]
        names: dict[str, Value] = {}
        for parameter, value in zip(positional, args, strict=False):
            names[parameter.arg] = value
        if spec.vararg is not None:
            extra = args[len(positional) :]
            names[spec.vararg.arg] = (
                Value(ref=Elements("tuple", extra)) if len(extra) < 30 else v.join(*extra)
            )
        defaults = dict(
            zip(
                [p.arg for p in positional][len(positional) - len(spec.defaults) :],
                spec.defaults,
                strict=True,
            )
        )
        defaults.update(
            {p.arg: d for p, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None}
        )
        known = {p.arg for p in (*positional, *spec.kwonlyargs)}
        for name, value in kwargs.items():
            if name in known:
                names[name] = value
        if spec.kwarg is not None:
            names[spec.kwarg.arg] = Value(
                ref=Elements("dict", None, NOTHING, {k: a for k, a in kwargs.items() if k not in known})
            )
        for parameter in (*positional, *spec.kwonlyargs):
            name = parameter.arg
            if name in names:
                continue
            default = defaults.get(name)
            if unknown:
                names[name] = self._guess(name)
            elif default is not None:
                names[name] = (
                    self.defaults.get(id(default), NOTHING)
                    if id(default) in self.defaults
                    else self.eval(default)
                )
            else:
                names[name] = NOTHING
        return names

    @staticmethod
    def _guess(name: str) -> Value:
        """A parameter of a function that nobody calls: its name is all there is."""
        if named_target(name):
            return Value(v.TOK | v.TGT)
        if re.search(r"(input_ids|^x$|x_batch|^tokens?$|token_ids|^ids$|context|prev)", name):
            return Value(v.TOK | (v.CTX if re.search(r"input|^x|context|prev", name) else 0))
        return NOTHING


Calls._expressions = {**Externals._expressions, ast.Call: Calls._call}

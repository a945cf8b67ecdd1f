"""Expressions on abstract values: names, attributes, collections, and what stands between them."""

from __future__ import annotations

import ast
from typing import Any, ClassVar

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    Bound,
    ClassDef,
    Elements,
    External,
    Function,
    Instance,
    Scope,
    Value,
)
from regrow.challenge.audit.flow.operators import Operators
from regrow.challenge.audit.flow.state import TRAIN_WORD, VAL_NAME, VAL_WORD
from regrow.challenge.audit.flow.subscripts import BYTE_NAME

_BUILTINS = {"True": True, "False": False, "None": None}
_SHAPES = {"shape", "dtype", "device", "ndim", "size", "grad_fn", "is_cuda", "itemsize", "nbytes"}


class Expressions(Operators):
    """Evaluation of every kind of expression except calls."""

    def eval(self, node: ast.expr | None) -> Value:
        """Abstract value of an expression."""
        if node is None:
            return NOTHING
        self.steps += 1
        method = self._expressions.get(type(node))
        if method is None:
            return v.union(*[self.eval(c) for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)])
        result: Value = method(self, node)
        return result

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if isinstance(value, str) and 3 <= len(value) < 300:
            tags = v.FILES_VAL if VAL_WORD.search(value) else 0
            if TRAIN_WORD.search(value):
                tags |= v.FILES_TRAIN
            return Value(tags, value)
        return Value(0, value)

    def _name(self, node: ast.Name) -> Value:
        name = node.id
        value = self.scope.lookup(name)
        if value is None:
            if name in _BUILTINS:
                return Value(0, _BUILTINS[name])
            value = Value(ref=External(name))
        if (
            VAL_NAME.match(name)
            and not value.tags & v.VAL
            and not isinstance(value.ref, Function | ClassDef | Scope)
        ):
            value = value.with_tags(v.VAL | v.TOK)
        if (
            name in self.restless
            and value.const is not MISSING
            and (name in self.proven or self.scope.names.get(name) is None)
        ):
            value = Value(value.tags, MISSING, value.ref, value.cuts, value.losses, value.loops, value.why)
        return value

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.eval(node.value)
        return self.attribute(owner, node.attr, node)

    def attribute(self, owner: Value, name: str, node: ast.AST) -> Value:
        """Attribute of a value: of an instance, class, module, library, or of data (a view or a shape)."""
        ref = owner.ref
        found: Value | None = None
        if name == "grad" and owner.tags & (v.LEAF | v.PARAM):
            return Value(v.GRAD)
        if name == "training":  # a module being scored is not training
            return Value(const=False) if self.no_grad else NOTHING
        if isinstance(ref, Instance):
            found = ref.attrs.get(name)
            if found is None and ref.cls is not None:
                method = ref.cls.find(name)
                if method is not None:
                    found = self._method(method, owner, name)
            if found is None and name in ("module", "_orig_mod"):
                return owner
        elif isinstance(ref, ClassDef):
            found = ref.find(name)
            if (
                found is not None
                and isinstance(found.ref, Function)
                and id(found.ref.node) in self.class_methods
            ):
                found = Value(ref=Bound(found.ref, owner))
        elif isinstance(ref, Scope):
            found = ref.names.get(name)
        elif isinstance(ref, External):
            found = Value(owner.tags & v.ORIGIN, MISSING, External(f"{ref.name}.{name}"))
        if found is None:
            if name in _SHAPES:
                return NOTHING
            if name in ("module", "_orig_mod"):
                return owner
            tags = (
                owner.tags & ~(v.FILES_VAL | v.FILES_TRAIN)
                if name not in ("stem", "name", "parent")
                else owner.tags
            )
            if name in ("data", "T", "mT", "values", "real"):
                found = owner
            elif isinstance(ref, Instance):
                found = Value(tags & v.PARAM if name in ("weight", "bias") else 0)
            else:
                found = Value(tags, MISSING, None, owner.cuts, owner.losses, owner.loops, owner.why)
        if (
            VAL_NAME.match(name)
            and not found.tags & v.VAL
            and not isinstance(found.ref, Function | Bound | ClassDef)
        ):
            found = found.with_tags(v.VAL | v.TOK)
        if BYTE_NAME.search(name) and not isinstance(found.ref, Function | Bound | ClassDef | Instance):
            found = found.with_tags(v.BYTES)
        if name in self.restless and found.const is not MISSING:
            found = Value(found.tags, MISSING, found.ref, found.cuts, found.losses, found.loops, found.why)
        return found

    def _method(self, method: Value, owner: Value, name: str) -> Value:
        ref = method.ref
        if not isinstance(ref, Function):
            return method
        if id(ref.node) in self.statics:
            return method
        if id(ref.node) in self.class_methods and isinstance(owner.ref, Instance):
            return Value(ref=Bound(ref, Value(ref=owner.ref.cls)))
        bound = Bound(ref, owner)
        if id(ref.node) in self.properties:
            return self.call_function(ref, [owner], {}, None)
        return Value(ref=bound)

    def call_function(
        self,
        function: Function,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.AST | None,
        unknown: bool = False,
    ) -> Value:
        """Follow a call; defined where calls are."""
        raise NotImplementedError

    def _ifexp(self, node: ast.IfExp) -> Value:
        test = self.eval(node.test)
        truth = self.truth(test)
        if truth is not None:
            return self.eval(node.body if truth else node.orelse)
        return v.join(self.eval(node.body), self.eval(node.orelse))

    def _sequence(self, node: ast.Tuple | ast.List | ast.Set) -> Value:
        items = [self.eval(e.value if isinstance(e, ast.Starred) else e) for e in node.elts]
        kind = "tuple" if isinstance(node, ast.Tuple) else "list"
        if any(isinstance(e, ast.Starred) for e in node.elts) or len(items) > 40:
            return Value(ref=Elements(kind, None, v.join(*items)))
        return Value(ref=Elements(kind, items))

    def _dict(self, node: ast.Dict) -> Value:
        keyed: dict[Any, Value] = {}
        rest = NOTHING
        for key, child in zip(node.keys, node.values, strict=True):
            value = self.eval(child)
            if isinstance(key, ast.Constant) and isinstance(key.value, str | int):
                keyed[key.value] = value
            else:
                if key is not None:
                    self.eval(key)
                rest = value if rest is NOTHING else v.join(rest, value)
        return Value(ref=Elements("dict", None, rest, keyed))

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) -> Value:
        before = self.scope.names
        self.scope.names = dict(before)
        loops = self.loops
        for generator in node.generators:
            iterable = self.eval(generator.iter)
            self.loop_count += 1
            self.loops = (*self.loops, self.loop_count)
            self.bind(generator.target, self.mark_loop(self.element(iterable), self.loop_count))
            for test in generator.ifs:
                self.eval(test)
        if isinstance(node, ast.DictComp):
            self.eval(node.key)
            item = self.eval(node.value)
            out = Value(ref=Elements("dict", None, item, {}))
        else:
            item = self.eval(node.elt)
            out = Value(ref=Elements("list", None, item))
        self.loops = loops
        self.scope.names = before
        return out

    def bind(self, target: ast.expr, value: Value) -> None:
        """Assignment; defined with the statements."""
        raise NotImplementedError

    def mark_loop(self, value: Value, loop: int) -> Value:
        """Loop dependence; defined with the statements."""
        raise NotImplementedError

    def _lambda(self, node: ast.Lambda) -> Value:
        return Value(ref=Function(node, self.scope, self.unit, None, "<lambda>"))

    def _joined(self, node: ast.JoinedStr) -> Value:
        tags = 0
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                tags |= self.eval(part.value).tags & (v.FILES_VAL | v.FILES_TRAIN)
            else:
                tags |= self.eval(part).tags
        return Value(tags)

    def _walrus(self, node: ast.NamedExpr) -> Value:
        value = self.eval(node.value)
        self.bind(node.target, value)
        return value

    def _starred(self, node: ast.Starred) -> Value:
        return self.eval(node.value)

    def _yield(self, node: ast.Yield | ast.YieldFrom) -> Value:
        """What a generator hands out is what iterating over its call gives."""
        value = self.eval(node.value) if node.value is not None else NOTHING
        self.yields.append(self.element(value) if isinstance(node, ast.YieldFrom) else value)
        return NOTHING

    def _await(self, node: ast.Await) -> Value:
        return self.eval(node.value)

    def _index_tuple(self, node: ast.Slice) -> Value:
        return self._slice_value(node)

    _expressions: ClassVar[dict[type, Any]] = {
        ast.Constant: _constant,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.BinOp: Operators._binop,
        ast.UnaryOp: Operators._unary,
        ast.BoolOp: Operators._boolop,
        ast.Compare: Operators._compare,
        ast.IfExp: _ifexp,
        ast.Tuple: _sequence,
        ast.List: _sequence,
        ast.Set: _sequence,
        ast.Dict: _dict,
        ast.ListComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.Subscript: Operators._subscript,
        ast.Lambda: _lambda,
        ast.JoinedStr: _joined,
        ast.NamedExpr: _walrus,
        ast.Starred: _starred,
        ast.Yield: _yield,
        ast.YieldFrom: _yield,
        ast.Await: _await,
        ast.Slice: _index_tuple,
    }

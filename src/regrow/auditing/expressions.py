"""Expressions on abstract values: arithmetic that makes hashes, slices that make targets, look-ups that read
tables."""

from __future__ import annotations

import ast
import operator
from typing import Any, ClassVar

from regrow.auditing import values as v
from regrow.auditing.machine import TRAIN_WORD, VAL_NAME, VAL_WORD
from regrow.auditing.subscripts import BYTE_NAME, Subscripts
from regrow.auditing.values import (
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

_BUILTINS = {"True": True, "False": False, "None": None}
_FOLD: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Div: operator.truediv,
}
_COMPARE: dict[type, Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_SHAPES = {"shape", "dtype", "device", "ndim", "size", "grad_fn", "is_cuda", "itemsize", "nbytes"}


class Expressions(Subscripts):
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

    def _binop(self, node: ast.BinOp) -> Value:
        return self.combine(node.op, self.eval(node.left), self.eval(node.right), node)

    def combine(self, op: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
        """Value of an arithmetic operation, with what it does to roles."""
        if left.const is not MISSING and right.const is not MISSING:
            folded = _fold(op, left.const, right.const)
            if folded is not MISSING:
                return Value(left.tags | right.tags, folded)
        lt, rt = left.tags, right.tags
        out = v.union(left, right)
        tags = out.tags
        if not tags:
            return out
        if (
            isinstance(op, ast.Div)
            and isinstance(left.ref, Instance | Elements) is False
            and (lt | rt) & (v.FILES_VAL | v.FILES_TRAIN)
        ):
            return out
        mixable = v.TOK | v.KEY | v.KEYT | v.MIXED | v.VOCAB
        if tags & mixable:
            number = left.const if left.const is not MISSING else right.const
            if isinstance(op, ast.Mult | ast.BitXor | ast.LShift):
                if not (isinstance(number, int | float) and number in (0, 1, -1)):
                    out = out.with_tags(v.MIXED)
            elif isinstance(op, ast.Add | ast.Sub | ast.BitOr) and number is MISSING:
                out = out.with_tags(v.MIXED)
            elif isinstance(op, ast.Mod | ast.BitAnd | ast.RShift) and (lt | rt) & (v.MIXED | v.KEY | v.KEYT):
                add = v.KEY | (v.KEYT if tags & (v.TGT | v.KEYT) else 0)
                out = out.with_tags(add, v.MIXED | v.TOK | v.TGT | v.CTX, self.spot(node))
            elif isinstance(op, ast.Mod) and lt & v.TGT and not rt & v.ROLE and node is not None:
                self.event("clamp", node, left)  # `targets % vocabulary`
            elif isinstance(op, ast.Div | ast.Pow):
                out = out.with_tags(0, mixable | v.TGT | v.CTX)
        if isinstance(op, ast.Div) and rt & v.NORM:
            out = out.with_tags(v.NORM, v.COUNT_T)
        if isinstance(op, ast.BitAnd | ast.BitOr) and tags & v.PROP:
            out = out.with_tags(0, v.MIXED)
        self.mixing(node, left, right, op)
        if isinstance(op, ast.Mult) and ((lt & v.BETTER and rt & v.GOLD) or (rt & v.BETTER and lt & v.GOLD)):
            self.event("select", node, out)
            return out.with_tags(0, v.BETTER | v.COND_T)
        if (
            isinstance(op, ast.Div)
            and lt & v.GOLD
            and not lt & v.SCORE
            and rt & v.PROP
            and rt & v.BYTES
            and not rt & v.GOLD
        ):
            out = out.with_tags(v.PERBYTE, 0, self.spot(node))
        if (
            isinstance(op, ast.Mult)
            and ((lt & v.GOLD and rt & v.HITS) or (rt & v.GOLD and lt & v.HITS))
            and not lt & rt & v.GOLD
        ):
            out = out.with_tags(v.COND_T, 0, self.spot(node))
        if (
            isinstance(op, ast.Mult)
            and tags & v.GOLD
            and tags & v.PROP
            and not (lt & v.PROP and rt & v.PROP)
            and not tags & (v.BYTES | v.SCORE)
        ):
            out = out.with_tags(v.COND_T, 0, self.spot(node))
        return out

    def mixing(self, node: ast.AST, left: Value, right: Value, op: ast.operator | None = None) -> None:
        """Note where a number read for the target alone meets the target's probability, or a byte share
        another model."""
        lt, rt = left.tags, right.tags
        if lt & rt & v.SCORE:
            return  # two sums compared, not two predictions mixed
        if (lt & v.COUNT_T and rt & v.GOLD and not rt & v.COUNT_T) or (
            rt & v.COUNT_T and lt & v.GOLD and not lt & v.COUNT_T
        ):
            self.event("mix", node, v.union(left, right))
        if op is None or isinstance(op, ast.Add | ast.Sub):
            for one, other in ((lt, right), (rt, left)):
                if one & v.PERBYTE and not other.tags & v.PERBYTE and other.const is MISSING and one & v.GOLD:
                    self.event("perbyte", node, v.union(left, right))
                    break

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.eval(node.operand)
        if value.const is not MISSING:
            if isinstance(node.op, ast.Not):
                return Value(0, not value.const)
            if isinstance(node.op, ast.USub) and isinstance(value.const, int | float):
                return Value(0, -value.const)
        if isinstance(node.op, ast.Not):
            return value.plain(v.COND_T | v.PROP | v.ORIGIN)
        return value.plain()

    def _boolop(self, node: ast.BoolOp) -> Value:
        is_and = isinstance(node.op, ast.And)
        parts: list[Value] = []
        for child in node.values:
            value = self.eval(child)
            truth = self.truth(value)
            if truth is not None and truth is not is_and:  # decides the whole expression
                return value if not parts or is_and else v.join(*parts, value)
            if truth is None:
                parts.append(value)
        if not parts:
            return value
        out = v.join(*parts)
        return Value(out.tags, MISSING, out.ref, out.cuts, out.losses, out.loops, out.why)

    def _compare(self, node: ast.Compare) -> Value:
        left = self.eval(node.left)
        rights = [self.eval(c) for c in node.comparators]
        if isinstance(node.ops[0], ast.In | ast.NotIn) and isinstance(left.const, str):
            ref = rights[0].ref
            if (
                isinstance(ref, External)
                and ref.name == "os.environ"
                and self.environment.get(left.const) is not None
            ):
                return Value(0, isinstance(node.ops[0], ast.In))
        if len(rights) == 1 and left.const is not MISSING:
            right = rights[0]
            op = node.ops[0]
            try:
                if right.const is not MISSING and type(op) in _COMPARE:
                    return Value(0, bool(_COMPARE[type(op)](left.const, right.const)))
                if (
                    isinstance(right.ref, Elements)
                    and right.ref.items is not None
                    and isinstance(op, ast.In | ast.NotIn)
                ):
                    known = [i.const for i in right.ref.items]
                    if MISSING not in known:
                        return Value(0, (left.const in known) is isinstance(op, ast.In))
            except TypeError:
                return NOTHING
        if (
            len(rights) == 1
            and isinstance(node.ops[0], ast.Is | ast.IsNot)
            and rights[0].const is None
            and left.ref is not None
            and left.const is MISSING
            and not isinstance(left.ref, External)
        ):
            return Value(0, isinstance(node.ops[0], ast.IsNot)) if not left.tags else NOTHING
        out = v.union(left, *rights)
        tags = out.tags
        keep = tags & (v.ORIGIN | v.PROP | v.BYTES | v.COUNT_T | v.COUNT_C)
        if tags & v.TGT and not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            keep |= v.COND_T
        if (
            tags & v.TGT
            and isinstance(node.ops[0], ast.Eq | ast.NotEq)
            and all(r.const is MISSING for r in rights)
        ):
            keep |= v.HITS
        if (
            left.tags & v.GOLD
            and any(r.tags & v.GOLD for r in rights)
            and not tags & v.SCORE
            and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        ):
            keep |= v.GOLD | v.COND_T
            if not left.losses & rights[0].losses:
                keep |= v.BETTER
        return Value(keep, MISSING, None, out.cuts, out.losses, out.loops, out.why)

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
        ast.BinOp: _binop,
        ast.UnaryOp: _unary,
        ast.BoolOp: _boolop,
        ast.Compare: _compare,
        ast.IfExp: _ifexp,
        ast.Tuple: _sequence,
        ast.List: _sequence,
        ast.Set: _sequence,
        ast.Dict: _dict,
        ast.ListComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.SetComp: _comprehension,
        ast.DictComp: _comprehension,
        ast.Subscript: Subscripts._subscript,
        ast.Lambda: _lambda,
        ast.JoinedStr: _joined,
        ast.NamedExpr: _walrus,
        ast.Starred: _starred,
        ast.Yield: _yield,
        ast.YieldFrom: _yield,
        ast.Await: _await,
        ast.Slice: _index_tuple,
    }


def _fold(op: ast.operator, left: Any, right: Any) -> Any:
    fold = _FOLD.get(type(op))
    numeric = isinstance(left, int | float) and isinstance(right, int | float)
    strings = isinstance(left, str) and isinstance(right, str) and isinstance(op, ast.Add)
    if fold is None or not (numeric or strings):
        return MISSING
    try:
        result = fold(left, right)
        return result if not isinstance(result, int) or abs(result) < 1 << 128 else MISSING
    except (ArithmeticError, ValueError, TypeError):
        return MISSING

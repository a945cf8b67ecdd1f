"""Expressions on abstract values: arithmetic that makes hashes, slices that make targets, look-ups that read tables."""

from __future__ import annotations

import ast
import operator
import re
from typing import Any

from regrow.auditing import values as v
from regrow.auditing.machine import TRAIN_WORD, VAL_NAME, VAL_WORD, Machine
from regrow.auditing.roles import named_target
from regrow.auditing.values import MISSING, NOTHING, Bound, ClassDef, Elements, External, Function, Instance, Scope, Value

_BUILTINS = {"True": True, "False": False, "None": None}
_BYTE_NAME = re.compile(r"(?i)byte")
_LENGTH_NAME = re.compile(r"(?i)byte|(^|_)(lens?|nb|nbytes|blen|lengths?|rep_len|n_b)(_|$)|_lens?$")
_FOLD: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARE: dict[type, Any] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
_BEFORE = re.compile(r"(?i)stride|ctx_?(len|end|size)|context_?(len|end|size)|scored|score_(start|from)")
_SHAPES = {"shape", "dtype", "device", "ndim", "size", "grad_fn", "is_cuda", "itemsize", "nbytes"}


class Expressions(Machine):
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
        if VAL_NAME.match(name) and not value.tags & v.VAL and not isinstance(value.ref, Function | ClassDef | Scope):
            value = value.with_tags(v.VAL | v.TOK)
        if name in self.restless and value.const is not MISSING and self.scope.names.get(name) is None:
            value = Value(value.tags, MISSING, value.ref, value.cuts, value.losses, value.loops, value.why)
        return value

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.eval(node.value)
        return self.attribute(owner, node.attr, node)

    def attribute(self, owner: Value, name: str, node: ast.AST) -> Value:
        """Attribute of a value: of an instance, class, module, library, or of data (a view or a shape)."""
        ref = owner.ref
        found: Value | None = None
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
            if found is not None and isinstance(found.ref, Function) and id(found.ref.node) in self.class_methods:
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
            tags = owner.tags & ~(v.FILES_VAL | v.FILES_TRAIN) if name not in ("stem", "name", "parent") else owner.tags
            if name in ("data", "T", "mT", "values", "real"):
                found = owner
            elif isinstance(ref, Instance):
                found = Value(tags & v.PARAM if name in ("weight", "bias") else 0)
            else:
                found = Value(tags, MISSING, None, owner.cuts, owner.losses, owner.loops, owner.why)
        if VAL_NAME.match(name) and not found.tags & v.VAL and not isinstance(found.ref, Function | Bound | ClassDef):
            found = found.with_tags(v.VAL | v.TOK)
        if _BYTE_NAME.search(name) and not isinstance(found.ref, Function | Bound | ClassDef | Instance):
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

    def call_function(self, function: Function, args: list[Value], kwargs: dict[str, Value], node: ast.AST | None, unknown: bool = False) -> Value:
        """Follow a call; defined where calls are."""
        raise NotImplementedError

    # --- arithmetic -----------------------------------------------------------------------------------------------

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
        if isinstance(op, ast.Div) and isinstance(left.ref, Instance | Elements) is False and (lt | rt) & (v.FILES_VAL | v.FILES_TRAIN):
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
            elif isinstance(op, ast.Div | ast.Pow):
                out = out.with_tags(0, mixable | v.TGT | v.CTX)
        if isinstance(op, ast.Div) and rt & v.NORM:
            out = out.with_tags(v.NORM, v.COUNT_T)
        if isinstance(op, ast.BitAnd | ast.BitOr) and tags & v.PROP:
            out = out.with_tags(0, v.MIXED)
        self.mixing(node, left, right, op)
        if isinstance(op, ast.Div) and lt & v.GOLD and not lt & v.SCORE and rt & v.PROP and rt & v.BYTES and not rt & v.GOLD:
            out = out.with_tags(v.PERBYTE, 0, self.spot(node))
        if isinstance(op, ast.Mult) and (lt & v.GOLD and rt & v.HITS or rt & v.GOLD and lt & v.HITS) and not lt & rt & v.GOLD:
            out = out.with_tags(v.COND_T, 0, self.spot(node))
        if isinstance(op, ast.Mult) and tags & v.GOLD and tags & v.PROP and not (lt & v.PROP and rt & v.PROP):
            if not tags & v.BYTES:
                out = out.with_tags(v.COND_T, 0, self.spot(node))
        return out

    def mixing(self, node: ast.AST, left: Value, right: Value, op: ast.operator | None = None) -> None:
        """Note where a number read for the target alone meets the target's probability, or a byte share another model."""
        lt, rt = left.tags, right.tags
        if lt & rt & v.SCORE:
            return  # two sums compared, not two predictions mixed
        if (lt & v.COUNT_T and rt & v.GOLD and not rt & v.COUNT_T) or (rt & v.COUNT_T and lt & v.GOLD and not lt & v.COUNT_T):
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
        if len(rights) == 1 and left.const is not MISSING:
            right = rights[0]
            op = node.ops[0]
            try:
                if right.const is not MISSING and type(op) in _COMPARE:
                    return Value(0, bool(_COMPARE[type(op)](left.const, right.const)))
                if isinstance(right.ref, Elements) and right.ref.items is not None and isinstance(op, ast.In | ast.NotIn):
                    known = [i.const for i in right.ref.items]
                    if MISSING not in known:
                        return Value(0, (left.const in known) is isinstance(op, ast.In))
            except TypeError:
                return NOTHING
        if len(rights) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot) and rights[0].const is None:
            if left.ref is not None and left.const is MISSING and not isinstance(left.ref, External):
                return Value(0, isinstance(node.ops[0], ast.IsNot)) if not left.tags else NOTHING
        out = v.union(left, *rights)
        tags = out.tags
        keep = tags & (v.ORIGIN | v.PROP | v.BYTES | v.COUNT_T | v.COUNT_C)
        if tags & v.TGT and not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            keep |= v.COND_T
        if tags & v.TGT and isinstance(node.ops[0], ast.Eq | ast.NotEq) and all(r.const is MISSING for r in rights):
            keep |= v.HITS
        if left.tags & v.GOLD and any(r.tags & v.GOLD for r in rights) and not tags & v.SCORE:
            if isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                keep |= v.GOLD | v.COND_T
        return Value(keep, MISSING, None, out.cuts, out.losses, out.loops, out.why)

    def _ifexp(self, node: ast.IfExp) -> Value:
        test = self.eval(node.test)
        truth = self.truth(test)
        if truth is not None:
            return self.eval(node.body if truth else node.orelse)
        return v.join(self.eval(node.body), self.eval(node.orelse))

    # --- containers -----------------------------------------------------------------------------------------------

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

    # --- subscripts -----------------------------------------------------------------------------------------------

    def _subscript(self, node: ast.Subscript) -> Value:
        base = self.eval(node.value)
        if isinstance(node.slice, ast.Slice):
            index = self._slice_value(node.slice)
        elif isinstance(node.slice, ast.Tuple) and not isinstance(base.ref, Elements):
            index = v.union(*[self.eval(e) for e in node.slice.elts])
        else:
            index = self.eval(node.slice)
        return self.subscript(base, index, node)

    def _slice_value(self, node: ast.Slice) -> Value:
        return v.union(*[self.eval(p) for p in (node.lower, node.upper, node.step) if p is not None])

    def subscript(self, base: Value, index: Value, node: ast.Subscript) -> Value:
        """Element or slice of a value."""
        ref = base.ref
        if isinstance(ref, Elements):
            found = self._element_at(ref, index, node)
            if not index.tags & (v.KEYT | v.KEY) or isinstance(found.ref, Elements | Instance):
                return found.with_tags(v.BYTES) if base.tags & v.BYTES else found
            base = found
        bt, it = base.tags, index.tags
        if it & v.KEYT:
            self.event("lookup", node, index)
            return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if it & v.KEY:
            return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_C)
        if isinstance(ref, Instance | Scope | ClassDef):
            return base
        if bt & v.TOK:
            return self._cut(base, index, node)
        last = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else node.slice
        if it & v.TGT and not isinstance(last, ast.Slice):
            if bt & v.COUNT_C and bt & v.VOCAB and not bt & v.NORM:
                return v.union(base, index, keep=v.KEEP).with_tags(v.COUNT_T, v.VOCAB, self.spot(node))
            if bt & (v.DIST | v.COUNT_C) or (isinstance(node.slice, ast.Tuple) and _rowlike(node.value)):
                return self.gold(v.union(base, index, keep=v.KEEP), node)
            name = _name_of(node.value)
            add = v.PROP | (v.BYTES if bt & v.BYTES or _LENGTH_NAME.search(name) else 0)
            return v.union(base, index, keep=v.KEEP).with_tags(add, 0, self.spot(node))
        if it & (v.TOK | v.CTX):
            name = _name_of(node.value)
            add = v.BYTES if bt & v.BYTES or _BYTE_NAME.search(name) else 0
            return v.union(base, index, keep=v.KEEP).with_tags(add)
        out = v.union(base, Value(it & (v.COND_T | v.ORIGIN) if it & v.COND_T else 0, loops=index.loops))
        before = bt & v.GOLD and (it & v.CARRIED or self.ends_before_score(node.slice))
        return out.with_tags(v.CARRIED) if before else out.plain()

    def _element_at(self, ref: Elements, index: Value, node: ast.Subscript) -> Value:
        if ref.keyed is not None and index.const is not MISSING:
            try:
                found = ref.keyed.get(index.const)
            except TypeError:
                found = None
            if found is not None:
                return found if ref.rest is NOTHING else v.join(found, ref.rest)
        if isinstance(node.slice, ast.Slice):
            return Value(ref=Elements(ref.kind, None, ref.summary()))
        if ref.items is not None and isinstance(index.const, int) and -len(ref.items) <= index.const < len(ref.items):
            return ref.items[index.const]
        return ref.summary()

    def _cut(self, base: Value, index: Value, node: ast.Subscript) -> Value:
        """A slice or element of a stream of tokens: where it lies relative to the prediction decides its role."""
        add, drop = 0, 0
        role = "ahead" if id(node) in self.positions else _slice_role(node.slice)
        bt = base.tags
        if role == "ahead" and not bt & (v.CTX | v.TGT):
            add = v.TGT
        elif role == "behind" and not bt & (v.TGT | v.CTX):
            add = v.CTX
        tags = (bt | (index.tags & v.ORIGIN)) & ~drop
        spot = self.spot(node)
        out = Value(tags, MISSING, None, base.cuts, base.losses, base.loops | index.loops, base.why)
        if bt & v.TGT and self.ends_before_score(node.slice):
            add |= v.CARRIED
        if bt & v.VAL and not bt & (v.TGT | v.CTX):
            site = hash((spot.file, spot.line, spot.column)) & 0x7FFFFFFF
            self.sites[site] = spot
            self.site_inside[site] = bool(self.loops) or self.site_inside.get(site, False)
            self.site_loops[site] = self.site_loops.get(site, frozenset()) | index.loops
            out.cuts = out.cuts | {site}
            self.event("cut", node, out, self._fixed_length(node, index), index)
        return out.with_tags(add, 0, spot) if add else out

    def ends_before_score(self, index: ast.expr) -> bool:
        """Whether a slice keeps only what lies before the scored part of a window: `[a:start_of_score]`."""
        part = index.elts[-1] if isinstance(index, ast.Tuple) and index.elts else index
        if not isinstance(part, ast.Slice) or part.upper is None:
            return False
        names = {n.id for n in ast.walk(part.upper) if isinstance(n, ast.Name)}
        for _ in range(2):
            for name in list(names):
                names |= self._definition_names(name)
        return any(_BEFORE.search(name) for name in names)

    def _definition_names(self, name: str) -> set[str]:
        """Names in the expressions that the function assigns to a name."""
        node = self.function_node
        if node is None:
            return set()
        table = self.definitions.get(id(node))
        if table is None:
            table = self.definitions[id(node)] = {}
            for step in ast.walk(node):
                if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
                    found = {n.id for n in ast.walk(step.value) if isinstance(n, ast.Name)}
                    table.setdefault(step.targets[0].id, set()).update(found)
        return table.get(name, set())

    def _fixed_length(self, node: ast.Subscript, index: Value) -> str:
        """How a slice cuts the stream to a length that does not come from the stream itself; empty where it does not."""
        part = node.slice
        if not isinstance(part, ast.Slice) or part.upper is None or part.step is not None or index.loops:
            return ""
        if part.lower is not None and self.eval(part.lower).const != 0:
            return ""
        upper = self.eval(part.upper)
        if isinstance(upper.const, int) and not isinstance(upper.const, bool) and upper.const > 100_000:
            return f"{upper.const:,}"
        return ""

    def gold(self, value: Value, node: ast.AST, summed: bool = False) -> Value:
        """The target's own probability or loss, computed here."""
        spot = self.spot(node)
        site = hash((spot.file, spot.line, spot.column, len(self.events))) & 0x7FFFFFFF
        self.sites[site] = spot
        out = Value(value.tags | v.GOLD | (v.SCORE if summed else 0), MISSING, None, value.cuts, value.losses | {site}, value.loops, value.why)
        out = out.with_tags(0, v.DIST | v.TOK | v.TGT | v.CTX)
        if not out.why or v.GOLD not in out.why:
            out.why = {**(out.why or {}), v.GOLD: spot}
        self.event("loss", node, out)
        return out

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

    def _index_tuple(self, node: ast.Slice) -> Value:
        return self._slice_value(node)

    _expressions: dict[type, Any] = {
        ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.BinOp: _binop, ast.UnaryOp: _unary,
        ast.BoolOp: _boolop, ast.Compare: _compare, ast.IfExp: _ifexp, ast.Tuple: _sequence, ast.List: _sequence,
        ast.Set: _sequence, ast.Dict: _dict, ast.ListComp: _comprehension, ast.GeneratorExp: _comprehension,
        ast.SetComp: _comprehension, ast.DictComp: _comprehension, ast.Subscript: _subscript, ast.Lambda: _lambda,
        ast.JoinedStr: _joined, ast.NamedExpr: _walrus, ast.Starred: _starred, ast.Slice: _index_tuple,
    }  # fmt: skip


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


def _name_of(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _rowlike(node: ast.expr) -> bool:
    return bool(re.search(r"log|prob|dist|lp|soft", _name_of(node)))


def _slice_role(index: ast.expr) -> str:
    """`ahead`: the stream one step on (targets); `behind`: the stream without its last token, or an earlier token."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    part = parts[-1]
    if isinstance(part, ast.Slice):
        lower, upper = part.lower, part.upper
        if isinstance(lower, ast.Constant) and lower.value == 1:
            return "ahead"
        if _plus_one(lower) and (upper is None or _plus_one(upper) or isinstance(upper, ast.Constant | ast.BinOp)):
            return "ahead"
        if isinstance(upper, ast.UnaryOp) and isinstance(upper.operand, ast.Constant) and upper.operand.value == 1:
            return "behind"
        return ""
    if isinstance(part, ast.BinOp):
        if isinstance(part.op, ast.Sub):
            return "behind"
        if _plus_one(part):
            return "ahead"
    return ""


def _plus_one(node: ast.expr | None) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and (
        (isinstance(node.right, ast.Constant) and node.right.value == 1)
        or (isinstance(node.left, ast.Constant) and node.left.value == 1)
    )

"""Assignments on abstract values: names, attributes, elements, and what they accumulate."""

from __future__ import annotations

import ast
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.call import Calls
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    ClassDef,
    Elements,
    Instance,
    Scope,
    Value,
    join,
)
from regrow.challenge.audit.flow.roles import named_target


class Assignments(Calls):
    """Evaluation of assignments."""

    def _assign(self, node: ast.Assign) -> None:
        value = self.eval(node.value)
        for target in node.targets:
            if value.tags & v.GRAD and not isinstance(target, ast.Tuple | ast.List):
                self.step_by_hand(node, self.eval(_whole(target)), value)
            self.bind(target, value)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.bind(node.target, self.eval(node.value))

    def _augmented(self, node: ast.AugAssign) -> None:
        right = self.eval(node.value)
        target = node.target
        if isinstance(target, ast.Subscript):
            index = self.flat(self.eval(target.slice))
            if index.tags & (v.KEY | v.KEYT):
                self.event("update", node, index)
            old = self.eval(target.value)
            self.accumulate(node, target.value, old, right)
            self.store_into(target.value, self._gated(old, index, v.union(old, right), target))
            return
        old = self.eval(target)
        self.step_by_hand(node, old, right)
        new = self.combine(node.op, old, right, node)
        self.accumulate(node, target, old, right)
        if isinstance(target, ast.Name):
            self.assign_name(target.id, new)
        elif isinstance(target, ast.Attribute):
            self.bind(target, new)

    def bind(self, target: ast.expr, value: Value) -> None:
        """Assign a value to a name, attribute, element, or a pattern of those."""
        if isinstance(target, ast.Name):
            self.assign_name(target.id, value)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target.elts, value)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, Value(value.tags, ref=Elements("list", None, value)))
        elif isinstance(target, ast.Attribute):
            self._bind_attribute(target, value)
        elif isinstance(target, ast.Subscript):
            index = self.eval(target.slice)
            if self.flat(index).tags & (v.KEY | v.KEYT):
                self.event("update", target, index)
            self.store_score(target, value)
            if isinstance(value.const, int | float) and value.const and self.ends_before_score(target.slice):
                value = value.with_tags(v.CARRIED)  # a mask of context positions
            self.environment_store(target, index, value)
            if value.tags & v.GOLD:
                if self.flat(index).tags & v.BETTER:
                    self.event("select", target, value)  # `nll[new < nll] = new[new < nll]`
                value = self._gated(self.eval(target.value), self.flat(index), value, target)
            self.store_into(target.value, value, index)

    def _gated(self, old: Value, index: Value, new: Value, node: ast.AST) -> Value:
        """Losses changed only where a property of the target says so: `nll[within[y]] -= bonus`."""
        gates = index.tags & v.PROP and not index.tags & (v.BYTES | v.HITS)
        return new.with_tags(v.COND_T, 0, self.spot(node)) if gates and old.tags & v.GOLD else new

    def _bind_attribute(self, target: ast.Attribute, value: Value) -> None:
        owner = self.eval(target.value)
        if self.dormant and owner.ref is not None:  # a branch not taken sets no setting
            held = self.attribute(owner, target.attr, target)
            if isinstance(held.const, bool | int | float | str):
                return
        if target.attr in self.restless:
            value = Value(value.tags, MISSING, value.ref, value.cuts, value.losses, value.loops, value.why)
        if isinstance(owner.ref, Instance):
            attrs = owner.ref.attrs
            attrs[target.attr] = join(attrs[target.attr], value) if target.attr in attrs else value
        elif isinstance(owner.ref, ClassDef):
            names = owner.ref.scope.names
            names[target.attr] = join(names[target.attr], value) if target.attr in names else value

    def _unpack(self, targets: list[ast.expr], value: Value) -> None:
        ref = value.ref
        if isinstance(ref, Elements) and ref.items is not None and len(ref.items) == len(targets):
            for target, item in zip(targets, ref.items, strict=True):
                self.bind(target, item)
            return
        item = ref.summary() if isinstance(ref, Elements) else value.plain()
        for target in targets:
            self.bind(target, item)

    def assign_name(self, name: str, value: Value) -> None:
        """Set a local name; its role as target follows from how the function uses it."""
        tags = value.tags
        if tags & v.TOK and not tags & (v.TGT | v.CTX) and (name in self.targets or named_target(name)):
            value = value.with_tags(v.TGT, 0, self.here)
        self.scope.names[name] = value
        if name in self.globals_declared and self.scope.parent is not None:
            outer = Scope(self.scope.parent.names, self.scope.parent.parent)
            while name not in outer.names and outer.parent is not None:
                outer = outer.parent
            outer.names[name] = value.plain() if value.ref is None else value

    def store_into(self, base: ast.expr, value: Value, index: Value = NOTHING) -> None:
        """An element of `base` is set: what base may hold grows."""
        while isinstance(base, ast.Subscript):
            base = base.value
        owner = self.eval(base)
        ref = owner.ref
        if isinstance(ref, Elements):
            if (
                index.const is not MISSING
                and ref.keyed is not None
                and len(ref.keyed) < 200
                and _hashable(index.const)
            ):
                old = ref.keyed.get(index.const)
                ref.keyed[index.const] = value if old is None else join(old, value)
            else:
                ref.rest = value if ref.rest is NOTHING else join(ref.rest, value)
        if isinstance(base, ast.Name):
            merged = v.join(
                Value(owner.tags, MISSING, ref, owner.cuts, owner.losses, owner.loops, owner.why),
                Value(value.tags, MISSING, None, value.cuts, value.losses, value.loops, value.why),
            )
            self.set_existing(base.id, merged)
        elif isinstance(base, ast.Attribute) and ref is None:
            receiver = self.eval(base.value)
            if isinstance(receiver.ref, Instance):
                old = receiver.ref.attrs.get(base.attr, NOTHING)
                receiver.ref.attrs[base.attr] = v.join(old.plain() if old.ref is None else old, value.plain())

    def set_existing(self, name: str, value: Value) -> None:
        """Replace a name where it is defined (this scope or one around it)."""
        scope: Scope | None = self.scope
        while scope is not None:
            if name in scope.names:
                scope.names[name] = value
                return
            scope = scope.parent
        self.scope.names[name] = value


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | bytes | type(None))


def _whole(target: ast.expr) -> ast.expr:
    """What is set: `p` in `p.data = ...` and in `p[...] = ...`."""
    while isinstance(target, ast.Subscript) or (isinstance(target, ast.Attribute) and target.attr == "data"):
        target = target.value
    return target

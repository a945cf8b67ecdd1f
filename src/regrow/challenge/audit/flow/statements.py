"""Walks a script as it would run, on abstract values: statements, branches, loops and calls.

Nothing is executed. Each statement transforms what is known of each name; calls are followed into the
functions, classes and sibling modules of the submission; what libraries do is described in `library`. The
walk leaves a list of events, in program order, which the rules judge. Branches that the default settings (or
the run commands of the README) do not take are walked too, but their events are marked dormant. Every part
is bounded: steps, call depth, expression depth.
"""

from __future__ import annotations

import ast
from typing import Any, ClassVar

from regrow.challenge.audit.flow.assignments import Assignments
from regrow.challenge.audit.flow.domain import (
    MISSING,
    NOTHING,
    ClassDef,
    Elements,
    External,
    Function,
    Instance,
    Scope,
    Value,
    join,
)
from regrow.challenge.audit.flow.roles import target_names, target_positions
from regrow.challenge.audit.source.settings import printed
from regrow.challenge.audit.source.unit import Unit

_TERMINAL = ("return", "break", "continue", "raise")


class Flow(Assignments):
    """The walk over one program. Use `run(units)` once, then read `events` and `problems`."""

    def run(self, units: list[Unit]) -> None:
        """Walk every entry unit, then every function that nothing called (as dormant)."""
        for unit in units:
            self.by_module.setdefault(unit.module, unit)
        self.everything = "\n".join(unit.text for unit in units)
        for unit in units:
            self.prescan(unit.tree)
        for unit in units:
            if unit.role == "entry":
                self.module_scope(unit, "__main__")
        for unit in units:
            if unit.role == "reached":
                self.module_scope(unit, unit.module)
        self.dormant += 1
        for unit in units:
            if unit.role != "aside":
                self._walk_uncalled(unit)
        self.dormant -= 1

    def module_scope(self, unit: Unit, name: str) -> Scope:
        """Names of a module after its body has run; run once."""
        scope = self.modules.get(unit.name)
        if scope is None:
            scope = self.modules[unit.name] = Scope(
                {"__name__": Value(const=name), "__file__": Value(const=unit.name)}
            )
            saved = self.unit, self.scope, self.targets
            self.unit, self.scope, self.targets = unit, scope, frozenset()
            self.block(unit.tree.body)
            self.unit, self.scope, self.targets = saved
        return scope

    def _walk_uncalled(self, unit: Unit) -> None:
        scope = self.modules.get(unit.name) or self.module_scope(unit, unit.module)
        self.unit = unit
        for value in list(scope.names.values()):
            ref = value.ref
            if isinstance(ref, Function) and ref.unit is unit and id(ref.node) not in self.called:
                self.call_function(ref, [], {}, None, unknown=True)
            elif isinstance(ref, ClassDef) and ref.scope.parent is scope:
                instance = Value(ref=Instance(ref))
                for method in list(ref.scope.names.values()):
                    inner = method.ref
                    if isinstance(inner, Function) and id(inner.node) not in self.called:
                        self.call_function(inner, [instance], {}, None, unknown=True)

    def block(self, body: list[ast.stmt]) -> str | None:
        """Walk statements in order; returns how the block ends where that is certain."""
        for node in body:
            ends = self.statement(node)
            if ends is not None:
                return ends
        return None

    def statement(self, node: ast.stmt) -> str | None:
        """Walk one statement. What is nested too deeply to follow becomes a problem, not an exception."""
        if self.steps > self.max_steps:
            self.problem("too-long", node)
            return "return"
        method = self._statements.get(type(node))
        if method is None:
            return None
        try:
            ends: str | None = method(self, node)
            return ends
        except RecursionError:
            self.problem("too-deep", node)
            return None

    def _expression(self, node: ast.Expr) -> None:
        self.eval(node.value)

    def _return(self, node: ast.Return) -> str:
        if node.value is not None:
            value = self.eval(node.value)
            self.returns.append(value)
        return "return"

    def _if(self, node: ast.If) -> str | None:
        test = self.eval(node.test)
        self.compare_losses(node, test)
        truth = self.truth(test)
        if truth is not None and _gives_up(node.body if truth else node.orelse):
            truth = None  # the script did run, so constants that lead to an error cannot be right
        if truth is not None:
            taken, other = (node.body, node.orelse) if truth else (node.orelse, node.body)
            if not other or not self.evidently_ran(other):
                self.dormant_block(other)
                return self.block(taken)
        before = self.scope.names
        self.scope.names = dict(before)
        first = self.guarded(node.body, test)
        after_body = self.scope.names
        self.scope.names = dict(before)
        second = self.guarded(node.orelse, test)
        after_else = self.scope.names
        if first in _TERMINAL and second in _TERMINAL:
            return first if first == second else "return"
        if first in _TERMINAL:
            return None
        self.scope.names = after_body if second in _TERMINAL else self.merge(after_body, after_else)
        return None

    def evidently_ran(self, body: list[ast.stmt]) -> bool:
        """Whether the logs hold a line that this block, or a function it calls, and nothing else prints."""
        if not self.logs:
            return False
        found = self.ran.get(id(body[0]))
        if found is None:
            texts = list(printed(body))
            for node in (n for step in body for n in ast.walk(step)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    called = self.scope.lookup(node.func.id)
                    if (
                        called is not None
                        and isinstance(called.ref, Function)
                        and not isinstance(called.ref.node, ast.Lambda)
                    ):
                        texts.extend(printed(called.ref.node.body))
            found = self.ran[id(body[0])] = any(
                f"\n{text}" in self.logs and self.everything.count(text) == 1 for text in texts
            )
        return found

    def guarded(self, body: list[ast.stmt], test: Value) -> str | None:
        """Walk a block whose execution hangs on `test`."""
        return self.block(body)

    def dormant_block(self, body: list[ast.stmt]) -> None:
        """Walk a block that default settings do not reach; its effects on names are dropped."""
        if not body:
            return
        before, returns = self.scope.names, len(self.returns)
        self.scope.names = dict(before)
        self.dormant += 1
        self.block(body)
        self.dormant -= 1
        self.scope.names = before
        del self.returns[returns:]

    @staticmethod
    def merge(a: dict[str, Value], b: dict[str, Value]) -> dict[str, Value]:
        """Names after two branches."""
        if a is b:
            return a
        out = dict(b)
        for name, value in a.items():
            other = b.get(name)
            out[name] = value if other is None or other is value else join(value, other)
        return out

    def _for(self, node: ast.For | ast.AsyncFor) -> str | None:
        iterable = self.eval(node.iter)
        if self._turns(node.iter) in (0, 1):
            self.once.add(self.loop_count + 1)
        self._loop(node, node.body, iterable, node.target)
        if node.orelse:
            self.block(node.orelse)
        return None

    def _turns(self, node: ast.expr) -> int | None:
        """How often `range(n)` turns, where that is known."""
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") in ("range", "trange")
            and len(node.args) == 1
        ):
            count = self.eval(node.args[0]).const
            return count if isinstance(count, int) else None
        return None

    def _while(self, node: ast.While) -> str | None:
        self._forget_constants(node)
        test = self.eval(node.test)
        if self.truth(test) is False:
            self.dormant_block(node.body)
            return None
        self._loop(node, node.body, None, None)
        return None

    def _loop(
        self, node: ast.stmt, body: list[ast.stmt], iterable: Value | None, target: ast.expr | None
    ) -> None:
        self._forget_constants(node)
        before = self.scope.names
        self.scope.names = dict(before)
        self.loop_count += 1
        loop = self.loop_count
        self.loop_info[loop] = (self.unit, node)
        self.loops = (*self.loops, loop)
        if target is not None and iterable is not None:
            element = self.element(iterable)
            self.bind(target, self.mark_loop(element, loop))
        self.block(body)
        self.loops = self.loops[:-1]
        self.scope.names = self.merge(self.scope.names, before)

    def mark_loop(self, value: Value, loop: int) -> Value:
        """The running variable of a loop depends on that loop."""
        ref = value.ref
        if isinstance(ref, Elements) and ref.items is not None:
            ref = Elements(ref.kind, [self.mark_loop(item, loop) for item in ref.items])
        return Value(value.tags, MISSING, ref, value.cuts, value.losses, value.loops | {loop}, value.why)

    def _forget_constants(self, node: ast.stmt) -> None:
        """Names that the loop assigns are no constants inside it."""
        assigned = self.assigned.get(id(node))
        if assigned is None:
            assigned = {
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            self.assigned[id(node)] = assigned
        names = self.scope.names
        for name in assigned:
            value = names.get(name)
            if value is not None and value.const is not MISSING:
                names[name] = Value(
                    value.tags, MISSING, value.ref, value.cuts, value.losses, value.loops, value.why
                )

    def _with(self, node: ast.With | ast.AsyncWith) -> str | None:
        quiet = 0
        for item in node.items:
            value = self.eval(item.context_expr)
            if self.is_no_grad(item.context_expr, value):
                quiet += 1
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value)
        self.no_grad += quiet
        ends = self.block(node.body)
        self.no_grad -= quiet
        return ends

    def _try(self, node: ast.Try) -> str | None:
        ends = self.block(node.body)
        after = self.scope.names
        for handler in node.handlers:
            self.scope.names = dict(after)
            self.block(handler.body)
            after = self.merge(after, self.scope.names)
        self.scope.names = after
        if ends is None and node.orelse:
            ends = self.block(node.orelse)
        if node.finalbody:
            self.block(node.finalbody)
        return ends if not node.handlers else None

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        owner = self.class_stack[-1] if self.class_stack and self.scope.is_class else None
        function = Function(node, self.scope, self.unit, owner, node.name)
        tags = [ast.unparse(d) for d in node.decorator_list] if node.decorator_list else []
        value = Value(ref=function)
        if any(t in ("property", "cached_property", "functools.cached_property") for t in tags):
            self.properties.add(id(node))
        if any(t in ("staticmethod",) for t in tags):
            self.statics.add(id(node))
        if any(t == "classmethod" for t in tags):
            self.class_methods.add(id(node))
        if any("no_grad" in t or "inference_mode" in t for t in tags):
            self.quiet_functions.add(id(node))
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
            self.defaults[id(default)] = self.eval(default)
        self.scope.names[node.name] = value

    def _class(self, node: ast.ClassDef) -> None:
        bases = [self.eval(b) for b in node.bases]
        refs = [b.ref for b in bases if isinstance(b.ref, ClassDef)]
        outer = tuple(ast.unparse(b) for b in node.bases)
        scope = Scope({}, self.scope, is_class=True)
        definition = ClassDef(node.name, scope, refs, False, outer)
        definition.is_module = definition.kind_of("Module")
        saved = self.scope
        self.scope = scope
        self.class_stack.append(definition)
        self.block(node.body)
        self.class_stack.pop()
        self.scope = saved
        self.scope.names[node.name] = Value(ref=definition)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            unit = self.by_module.get(alias.name.rsplit(".", 1)[-1])
            if unit is not None and unit is not self.unit:
                self.scope.names[name] = Value(ref=self.module_scope(unit, unit.module))
            else:
                self.scope.names[name] = Value(ref=External(alias.name if alias.asname else name))

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        unit = self.by_module.get(module.rsplit(".", 1)[-1])
        for alias in node.names:
            name = alias.asname or alias.name
            if unit is not None and unit is not self.unit:
                scope = self.module_scope(unit, unit.module)
                if alias.name == "*":
                    for key, value in scope.names.items():
                        if not key.startswith("__"):
                            self.scope.names.setdefault(key, value)
                else:
                    self.scope.names[name] = scope.names.get(alias.name, NOTHING)
            elif (
                (sub := self.by_module.get(alias.name)) is not None
                and sub is not self.unit
                and not module.startswith("torch")
            ):
                self.scope.names[name] = Value(ref=self.module_scope(sub, sub.module))
            else:
                self.scope.names[name] = Value(ref=External(f"{module}.{alias.name}"))

    def _raise(self, node: ast.Raise) -> str:
        return "raise"

    def _break(self, node: ast.stmt) -> str:
        return "break"

    def _continue(self, node: ast.stmt) -> str:
        return "continue"

    def _assert(self, node: ast.Assert) -> None:
        self.eval(node.test)

    def _global(self, node: ast.Global) -> None:
        self.globals_declared = self.globals_declared | frozenset(node.names)

    def _delete(self, node: ast.Delete) -> None:
        """An optimiser deleted together with what it moves leaves nothing behind; deleted alone it leaves that."""
        gone = {t.id for t in node.targets if isinstance(t, ast.Name)}
        if self.function_node is not None:
            for step in ast.walk(self.function_node):
                if isinstance(step, ast.Delete):
                    gone |= {t.id for t in step.targets if isinstance(t, ast.Name)}
        for target in node.targets:
            if isinstance(target, ast.Name):
                ref = self.scope.names.get(target.id, NOTHING).ref
                if isinstance(ref, Instance) and ref.kind == "optimizer" and gone & ref.moves:
                    self.discarded.add(id(ref))

    def _match(self, node: ast.Match) -> None:
        self.eval(node.subject)
        before = self.scope.names
        merged = before
        for case in node.cases:
            self.scope.names = dict(before)
            self.block(case.body)
            merged = self.merge(merged, self.scope.names)
        self.scope.names = merged

    _statements: ClassVar[dict[type, Any]] = {
        ast.Assign: Assignments._assign,
        ast.AnnAssign: Assignments._annotated,
        ast.AugAssign: Assignments._augmented,
        ast.Expr: _expression,
        ast.Return: _return,
        ast.If: _if,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.While: _while,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.FunctionDef: _function,
        ast.AsyncFunctionDef: _function,
        ast.ClassDef: _class,
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.Raise: _raise,
        ast.Break: _break,
        ast.Continue: _continue,
        ast.Assert: _assert,
        ast.Global: _global,
        ast.Nonlocal: _global,
        ast.Match: _match,
        ast.Delete: _delete,
    }

    def function_targets(self, node: ast.AST) -> frozenset[str]:
        """Names that a function's own uses show to be the target; found once per function."""
        found = self.target_cache.get(id(node))
        if found is None:
            found = self.target_cache[id(node)] = target_names(node)
            self.positions |= target_positions(node)
        return found


def _gives_up(body: list[ast.stmt]) -> bool:
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.Raise | ast.Break | ast.Continue):
        return True
    return (
        isinstance(last, ast.Expr)
        and isinstance(last.value, ast.Call)
        and "exit" in ast.unparse(last.value.func)
    )

"""Statements on abstract values: branches, loops, definitions, imports."""

from __future__ import annotations

import ast
import re

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.binding import bind
from regrow.challenge.audit.flow.domain import NOTHING, ClassDef, External, Function, Scope, Value, join
from regrow.challenge.audit.flow.expressions import bind_turn, defaults_of
from regrow.challenge.audit.flow.state import Walk, evaluate, execute, is_optimizer, statement, truth
from regrow.challenge.audit.source.settings import printed
from regrow.challenge.audit.source.syntax import is_call, name_of, names_in
from regrow.challenge.audit.source.unit import Unit

_QUIET = re.compile("no_grad|inference_mode")


@statement(ast.Expr, ast.Assert)
def _expression(walk: Walk, node: ast.Expr | ast.Assert) -> None:
    evaluate(walk, node.value if isinstance(node, ast.Expr) else node.test)


@statement(ast.Return)
def _return(walk: Walk, node: ast.Return) -> str:
    if node.value is not None:
        walk.frame.returns.append(evaluate(walk, node.value))
    return "return"


@statement(ast.Raise, ast.Break, ast.Continue)
def _leave(walk: Walk, node: ast.stmt) -> str:
    return type(node).__name__.lower()


@statement(ast.If)
def _if(walk: Walk, node: ast.If) -> str | None:
    test = evaluate(walk, node.test)
    _compare_losses(walk, node, test)
    known = truth(test)
    taken, other = (node.body, node.orelse) if known else (node.orelse, node.body)
    # the script did run, so no constant leads to an error
    if known is not None and not _gives_up(taken) and not (other and _evidently_ran(walk, other)):
        _dormant(walk, other)
        return execute(walk, taken)
    before = walk.scope.names
    first, after_body = _fork(walk, before, node.body)
    second, after_else = _fork(walk, before, node.orelse)
    if first and second:
        return first if first == second else "return"
    if not first:
        walk.scope.names = after_body if second else _merge(after_body, after_else)
    return None


def _fork(walk: Walk, names: dict[str, Value], body: list[ast.stmt]) -> tuple[str | None, dict[str, Value]]:
    """Walk a block on a copy of the names; returns how it ends, and the names it leaves."""
    walk.scope.names = dict(names)
    return execute(walk, body), walk.scope.names


def _compare_losses(walk: Walk, node: ast.If, test: Value) -> None:
    """`if new < old: score = new` takes the better of two losses of the target."""
    if test.tags & v.GOLD and test.tags & v.COND_T and not test.tags & v.SCORE:
        for child in node.body:
            if isinstance(child, ast.Assign) and evaluate(walk, child.value).tags & v.GOLD:
                walk.event("select", node, test)
                return


def _gives_up(body: list[ast.stmt]) -> bool:
    last = body[-1] if body else None
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        return "exit" in ast.unparse(last.value.func)
    return isinstance(last, ast.Raise | ast.Break | ast.Continue)


def _evidently_ran(walk: Walk, body: list[ast.stmt]) -> bool:
    """Whether the logs hold a line that this block, or a function it calls, and nothing else prints."""
    facts, ran = walk.facts, walk.heap.ran
    if facts.logs and body[0] not in ran:
        texts = list(printed(body))
        for node in (n for step in body for n in ast.walk(step)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called = (walk.scope.lookup(node.func.id) or NOTHING).ref
                if isinstance(called, Function) and not isinstance(called.node, ast.Lambda):
                    texts.extend(printed(called.node.body))
        ran[body[0]] = any(f"\n{text}" in facts.logs and facts.text.count(text) == 1 for text in texts)
    return ran.get(body[0], False)


def _dormant(walk: Walk, body: list[ast.stmt]) -> None:
    """Walk a block that default settings do not reach; its effects on names are dropped."""
    before, count = walk.scope.names, len(walk.frame.returns)
    _fork(walk.inside(dormant=True), before, body)
    walk.scope.names = before
    del walk.frame.returns[count:]


def _merge(a: dict[str, Value], b: dict[str, Value]) -> dict[str, Value]:
    """Names after two branches."""
    if a is b:
        return a
    out = dict(b)
    for name, value in a.items():
        other = b.get(name)
        out[name] = value if other is None or other is value else join(value, other)
    return out


@statement(ast.For, ast.AsyncFor)
def _for(walk: Walk, node: ast.For | ast.AsyncFor) -> None:
    iterable = evaluate(walk, node.iter)
    once = False
    if isinstance(node.iter, ast.Call) and is_call(node.iter, "range", "trange") and len(node.iter.args) == 1:
        once = evaluate(walk, node.iter.args[0]).const in (0, 1)
    _forget_constants(walk, node)
    before = walk.scope.names
    walk.scope.names = dict(before)
    inner = walk.enter_loop(node, once)
    bind_turn(inner, node.target, iterable)
    execute(inner, node.body)
    walk.scope.names = _merge(walk.scope.names, before)
    execute(walk, node.orelse)


@statement(ast.While)
def _while(walk: Walk, node: ast.While) -> None:
    _forget_constants(walk, node)
    before = walk.scope.names
    if truth(evaluate(walk, node.test)) is False:
        _dormant(walk, node.body)
    else:
        walk.scope.names = _merge(_fork(walk.enter_loop(node), before, node.body)[1], before)


def _forget_constants(walk: Walk, node: ast.stmt) -> None:
    """Names that the loop assigns are no constants inside it."""
    names = walk.scope.names
    names.update({n: names[n].unknown() for n in names_in(node, stored=True) if n in names})


@statement(ast.With, ast.AsyncWith)
def _with(walk: Walk, node: ast.With | ast.AsyncWith) -> str | None:
    quiet = False
    for item in node.items:
        value = evaluate(walk, item.context_expr)
        quiet |= _is_quiet(item.context_expr)
        if item.optional_vars is not None:
            bind(walk, item.optional_vars, value)
    return execute(walk.inside(no_grad=True) if quiet else walk, node.body)


def _is_quiet(node: ast.expr) -> bool:
    """Whether a context switches gradients off."""
    while isinstance(node, ast.Call | ast.Attribute) and not _QUIET.search(name_of(node)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return bool(_QUIET.search(name_of(node)))


@statement(ast.Try)
def _try(walk: Walk, node: ast.Try) -> str | None:
    ends = execute(walk, node.body)
    after = walk.scope.names
    for handler in node.handlers:
        after = _merge(after, _fork(walk, after, handler.body)[1])
    walk.scope.names = after
    if ends is None:
        ends = execute(walk, node.orelse)
    execute(walk, node.finalbody)
    return ends if not node.handlers else None


@statement(ast.Match)
def _match(walk: Walk, node: ast.Match) -> None:
    evaluate(walk, node.subject)
    before = merged = walk.scope.names
    for case in node.cases:
        merged = _merge(merged, _fork(walk, before, case.body)[1])
    walk.scope.names = merged


@statement(ast.FunctionDef, ast.AsyncFunctionDef)
def _function(walk: Walk, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    decorators = [ast.unparse(d) for d in node.decorator_list]
    kinds = [d.rsplit(".", 1)[-1].removeprefix("cached_") for d in decorators]
    kind = next((k for k in kinds if k in ("property", "staticmethod", "classmethod")), "")
    quiet, defaults = any(map(_QUIET.search, decorators)), defaults_of(walk, node.args)
    function = Function(node, walk.scope, walk.frame.unit, node.name, kind, quiet, defaults)
    walk.scope.names[node.name] = Value(ref=function)


@statement(ast.ClassDef)
def _class(walk: Walk, node: ast.ClassDef) -> None:
    bases = [ref for b in node.bases if isinstance(ref := evaluate(walk, b).ref, ClassDef)]
    scope = Scope({}, walk.scope, is_class=True)
    made = ClassDef(scope, bases, tuple(map(ast.unparse, node.bases)))
    execute(walk.inside(scope=scope, classes=(*walk.frame.classes, made)), node.body)
    walk.scope.names[node.name] = Value(ref=made)


def module_scope(walk: Walk, unit: Unit, name: str) -> Scope:
    """Names of a module after its body has run; run once."""
    scope = walk.heap.modules.get(unit.name)
    if scope is None:
        scope = Scope({"__name__": Value(const=name), "__file__": Value(const=unit.name)})
        walk.heap.modules[unit.name] = scope
        execute(walk.inside(unit=unit, scope=scope, body=None), unit.tree.body)
    return scope


def _sibling(walk: Walk, module: str) -> Scope | None:
    """The names of another source of the submission."""
    unit = walk.facts.by_module.get(module.rsplit(".", 1)[-1])
    return module_scope(walk, unit, unit.module) if unit is not None and unit is not walk.frame.unit else None


@statement(ast.Import)
def _import(walk: Walk, node: ast.Import) -> None:
    for alias in node.names:
        name = alias.asname or alias.name.split(".")[0]
        found = _sibling(walk, alias.name)
        walk.scope.names[name] = Value(ref=found or External(alias.name if alias.asname else name))


@statement(ast.ImportFrom)
def _import_from(walk: Walk, node: ast.ImportFrom) -> None:
    module, names = node.module or "", walk.scope.names
    for alias in node.names:
        name = alias.asname or alias.name
        found = _sibling(walk, module)
        if found is not None and alias.name == "*":
            for key, value in found.names.items():
                if not key.startswith("__"):
                    names.setdefault(key, value)
        elif found is not None:
            names[name] = found.names.get(alias.name, NOTHING)
        else:
            inner = None if module.startswith("torch") else _sibling(walk, alias.name)
            names[name] = Value(ref=inner or External(f"{module}.{alias.name}"))


@statement(ast.Delete)
def _delete(walk: Walk, node: ast.Delete) -> None:
    """An optimiser deleted together with what it moves leaves nothing behind; deleted alone it leaves that."""
    names = {t.id for t in node.targets if isinstance(t, ast.Name)}
    gone = names | (walk.frame.body.deleted if walk.frame.body is not None else set())
    for name in names:
        value = walk.scope.names.get(name, NOTHING)
        if is_optimizer(value) and gone & value.ref.moves:
            value.ref.deleted = True

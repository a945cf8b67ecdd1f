"""Passes over the validation text: a call that learns from it, and a later one that scores it with what was learned.

Inside one function the order of events shows whether text is scored before it is learned from. Between functions the
question is another one: does the model that has learned go into a second pass over the same text?
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.source.settings import printed
from regrow.challenge.audit.source.syntax import Definition, is_call, name_of, names_in
from regrow.challenge.audit.source.unit import Spot, Unit

if TYPE_CHECKING:
    from regrow.challenge.audit.flow.ordering import Learning
    from regrow.challenge.audit.program import Program

_FIGURE = re.compile(r'"[^"]*bpb[^"]*"\s*:\s*(\d+\.\d+)')
_NUMBER = re.compile(r"\d+\.\d{3,}")
_LINES_AFTER = 15
_OPTIMIZER = re.compile(r"SGD|Adam|Muon|LBFGS|RMSprop|Lion|Optimizer")
_SAME = frozenset("parameters named_parameters modules children list tuple getattr set".split())
_RESTORES = frozenset("load_state_dict copy_ restore restore_weights reset".split())


@dataclass(frozen=True)
class SecondPass:
    """A call that scores text with a model that an earlier call has trained on it."""

    learned: Spot  # the call that learns
    scored: Spot  # the call that scores afterwards
    model: str  # the name of what both are given


def second_pass(program: Program, item: Learning) -> SecondPass | None:
    """The first call after a pass with learning steps that scores validation text with the same model.

    A model that is restored, or replaced, in between does not count; nor does a function that restores it itself.
    """
    step = item.step
    if step.dormant or step.value.tags & v.LEAF:
        return None
    after = (s for s in program.flow.of("score") if s.seq > step.seq and s.no_grad and not s.dormant)
    scores = [s for s in after if s.value.tags & v.VAL and not set(s.loops) & set(step.loops)]
    for depth, learner in enumerate(step.stack):
        outer = step.stack[:depth]
        later = {s.stack[depth] for s in scores if s.stack[:depth] == outer and len(s.stack) > depth}
        for unit, body in _bodies(program, outer[-1] if outer else None) if later else ():
            for found in _between(program, unit, body, learner, later):
                return found
    return None


def claims_second(program: Program, again: SecondPass) -> bool | None:
    """Whether what the second pass prints is a figure that submission.json claims; None where no log tells."""
    notes = program.sources.notes.get("submission.json", "")
    if not notes:
        return True  # nothing is claimed apart from what the script prints last
    figures = {f"{float(m):.4f}" for m in _FIGURE.findall(notes) if 0.01 < float(m) < 10}
    unit = program.unit(again.scored.file)
    if not figures or unit is None:
        return None
    first, last = again.scored.line, again.scored.line + _LINES_AFTER
    steps: list[ast.stmt] = [n for n in unit.nodes if isinstance(n, ast.Expr) and first < n.lineno <= last]
    texts = tuple(printed(steps))
    lines = [line for line in program.sources.logs.split("\n") if texts and line.startswith(texts)]
    shown = {f"{float(number):.4f}" for line in lines for number in _NUMBER.findall(line)}
    return bool(shown & figures) if lines else None


def _bodies(program: Program, name: str | None) -> Iterator[tuple[Unit, Definition | ast.Module]]:
    """Every function of a name; the modules where there is no name."""
    for unit in program.units:
        if name is None:
            yield unit, unit.tree
        yield from ((unit, node) for node in unit.functions if node.name == name)


def _between(
    program: Program, unit: Unit, body: Definition | ast.Module, learner: str, scorers: set[str]
) -> Iterator[SecondPass]:
    calls = [n for n in ast.walk(body) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    for first in calls:
        for model in _trained(program, first, learner) if is_call(first, learner) else ():
            for second in sorted(calls, key=lambda n: n.lineno):
                given = (*second.args, *(k.value for k in second.keywords))
                if (
                    second.lineno > (first.end_lineno or first.lineno)
                    and is_call(second, *scorers)
                    and model in {name_of(a) for a in given if isinstance(a, ast.Name)}
                    and not _apart(body, first, second)
                    and not _renewed(body, model, first.lineno, second.lineno)
                ):
                    yield SecondPass(unit.spot(first), unit.spot(second), model)


def _trained(program: Program, call: ast.Call, name: str) -> Iterator[str]:
    """Names given to a call whose parameter the called function trains, and does not restore."""
    for _, node in _bodies(program, name):
        assert isinstance(node, Definition)
        if any(isinstance(n, ast.Attribute) and n.attr in _RESTORES for n in ast.walk(node)):
            continue
        positions = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        given = [*zip(positions, call.args, strict=False), *((k.arg or "", k.value) for k in call.keywords)]
        yield from (value.id for p, value in given if isinstance(value, ast.Name) and _moves(node, p))


def _moves(node: Definition, parameter: str) -> bool:
    """Whether a function makes an optimiser for the parameters of one of its arguments."""

    def mentions(tree: ast.AST) -> bool:
        return not names.isdisjoint(names_in(tree))

    names = {parameter}
    if not any(
        isinstance(n, ast.Attribute) and n.attr in ("parameters", "named_parameters") and mentions(n.value)
        for n in ast.walk(node)
    ):
        return False
    for _ in range(3):
        for step in ast.walk(node):
            match step:
                case ast.For(iter=value, target=target) if mentions(value):
                    names.update(names_in(target))
                case ast.Assign(value=ast.Call() as value) if not is_call(value, *_SAME):
                    pass  # a call of the model, or of a class: what comes out is another thing
                case ast.Assign(value=value, targets=targets) if mentions(value):
                    names.update(t.id for t in targets if isinstance(t, ast.Name))
                case ast.Call(func=ast.Attribute(value=target, attr="append" | "extend"), args=args):
                    names.update(names_in(target) if any(map(mentions, args)) else ())
    makers = (n for n in ast.walk(node) if isinstance(n, ast.Call) and _OPTIMIZER.search(ast.unparse(n.func)))
    return any(mentions(n.args[0]) for n in makers if n.args)


def _apart(body: ast.AST, *calls: ast.Call) -> bool:
    """Whether two calls stand on two sides of one branch."""
    for node in ast.walk(body):
        if isinstance(node, ast.If):
            sides = [{n for step in side for n in ast.walk(step)} for side in (node.body, node.orelse)]
            where = [[call in side for side in sides] for call in calls]
            if (where[0][0] and where[1][1]) or (where[1][0] and where[0][1]):
                return True
    return False


def _renewed(body: ast.AST, model: str, start: int, end: int) -> bool:
    """Whether a model is replaced or restored between two lines."""
    for node in ast.walk(body):
        if start < getattr(node, "lineno", 0) < end:
            restores = isinstance(node, ast.Attribute) and node.attr in _RESTORES
            if restores and model in names_in(node):
                return True
            if isinstance(node, ast.Name) and node.id == model and isinstance(node.ctx, ast.Store):
                return True
    return False

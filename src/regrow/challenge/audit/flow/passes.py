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
from regrow.challenge.audit.flow.domain import Event
from regrow.challenge.audit.source.settings import printed
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.flow.ordering import Learning
    from regrow.challenge.audit.program import Program
    from regrow.challenge.audit.source.unit import Unit

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_FIGURE = re.compile(r'"[^"]*bpb[^"]*"\s*:\s*(\d+\.\d+)')
_NUMBER = re.compile(r"\d+\.\d{3,}")
_LINES_AFTER = 15
_OPTIMIZER = re.compile(r"SGD|Adam|Muon|LBFGS|RMSprop|Lion|Optimizer")
_SAME = frozenset("parameters named_parameters modules children list tuple getattr set".split())
_RESTORES = frozenset("load_state_dict copy_ restore restore_weights reset".split())


@dataclass(frozen=True)
class SecondPass:
    """A call that scores text with a model that an earlier call has trained on it.

    Attributes:
        learned: the call that learns.
        scored: the call that scores afterwards.
        model: the name of what both are given.
    """

    learned: Spot
    scored: Spot
    model: str


def second_pass(program: Program, item: Learning) -> SecondPass | None:
    """The first call after a pass with learning steps that scores validation text with the same model.

    A model that is restored, or replaced, in between does not count; nor does a function that restores it itself.
    """
    step = item.step
    if step.dormant or step.value.tags & v.LEAF:
        return None
    for depth in range(len(step.stack)):
        outer = step.stack[:depth]
        later = {
            s.stack[depth]
            for s in program.flow.events
            if s.kind == "score" and s.seq > step.seq and not s.dormant and _of_another_pass(s, step, depth)
        }
        if not later:
            continue
        for unit, body in _bodies(program, outer[-1] if outer else None):
            found = _between(program, unit, body, step.stack[depth], later)
            if found is not None:
                return found
    return None


def claims_second(program: Program, again: SecondPass) -> bool | None:
    """Whether what the second pass prints is a figure that submission.json claims; None where no log tells."""
    notes = program.sources.notes.get("submission.json", "")
    if not notes:
        return True  # nothing is claimed apart from what the script prints last
    figures = {f"{float(m):.4f}" for m in _FIGURE.findall(notes) if 0.01 < float(m) < 10}
    unit = program.unit(again.scored.file)
    if not figures or unit is None or not program.sources.logs.strip():
        return None
    first, last = again.scored.line, again.scored.line + _LINES_AFTER
    steps: list[ast.stmt] = [
        n for n in ast.walk(unit.tree) if isinstance(n, ast.Expr) and first < n.lineno <= last
    ]
    texts = tuple(printed(steps))
    lines = [line for line in program.sources.logs.split("\n") if texts and line.startswith(texts)]
    if not lines:
        return None
    return any(f"{float(number):.4f}" in figures for line in lines for number in _NUMBER.findall(line))


def _of_another_pass(score: Event, step: Event, depth: int) -> bool:
    same = score.stack[:depth] == step.stack[:depth] and len(score.stack) > depth
    around = set(score.loops) & set(step.loops)
    return same and not around and bool(score.value.tags & v.VAL) and score.no_grad


def _bodies(program: Program, name: str | None) -> Iterator[tuple[Unit, _Function | ast.Module]]:
    for unit in program.units:
        if name is None:
            yield unit, unit.tree
        else:
            for node in ast.walk(unit.tree):
                if isinstance(node, _Function) and node.name == name:
                    yield unit, node


def _between(
    program: Program, unit: Unit, body: _Function | ast.Module, learner: str, scorers: set[str]
) -> SecondPass | None:
    calls = [n for n in ast.walk(body) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    for first in calls:
        assert isinstance(first.func, ast.Name)
        if first.func.id != learner:
            continue
        for model in _trained(program, first, learner):
            for second in sorted(calls, key=lambda n: n.lineno):
                assert isinstance(second.func, ast.Name)
                given = {
                    a.id
                    for a in (*second.args, *(k.value for k in second.keywords))
                    if isinstance(a, ast.Name)
                }
                if (
                    second.lineno > (first.end_lineno or first.lineno)
                    and second.func.id in scorers
                    and model in given
                    and not _apart(body, first, second)
                    and not _renewed(body, model, first.lineno, second.lineno)
                ):
                    return SecondPass(_spot(unit, first), _spot(unit, second), model)
    return None


def _trained(program: Program, call: ast.Call, name: str) -> Iterator[str]:
    """Names given to a call whose parameter the called function trains, and does not restore."""
    for _, node in _bodies(program, name):
        if not isinstance(node, _Function):
            continue
        attributes = [n for n in ast.walk(node) if isinstance(n, ast.Attribute)]
        if any(a.attr in _RESTORES for a in attributes):
            continue
        positions = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        given = [
            *zip(positions, call.args, strict=False),
            *((k.arg, k.value) for k in call.keywords if k.arg),
        ]
        for parameter, value in given:
            if isinstance(value, ast.Name) and _moves(node, parameter):
                yield value.id


def _moves(node: _Function, parameter: str) -> bool:
    """Whether a function makes an optimiser for the parameters of one of its arguments."""
    module = any(
        isinstance(n, ast.Attribute)
        and n.attr in ("parameters", "named_parameters")
        and _mentions(n.value, {parameter})
        for n in ast.walk(node)
    )
    names = {parameter} if module else set()
    for _ in range(3):
        for step in ast.walk(node):
            if isinstance(step, ast.For) and _mentions(step.iter, names):
                names |= {n.id for n in ast.walk(step.target) if isinstance(n, ast.Name)}
            elif isinstance(step, ast.Assign) and _mentions(step.value, names) and not _builds(step.value):
                names |= {t.id for t in step.targets if isinstance(t, ast.Name)}
            elif (
                isinstance(step, ast.Call)
                and isinstance(step.func, ast.Attribute)
                and step.func.attr in ("append", "extend")
                and any(_mentions(a, names) for a in step.args)
            ):
                names |= {n.id for n in ast.walk(step.func.value) if isinstance(n, ast.Name)}
    return any(
        isinstance(n, ast.Call)
        and _OPTIMIZER.search(ast.unparse(n.func))
        and any(_mentions(a, names) for a in n.args[:1])
        for n in ast.walk(node)
    )


def _mentions(node: ast.expr, names: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(node))


def _builds(node: ast.expr) -> bool:
    """A call of the model, or of a class: what comes out is another thing."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name not in _SAME


def _apart(body: ast.AST, first: ast.Call, second: ast.Call) -> bool:
    """Whether the two calls stand on two sides of one branch."""
    for node in ast.walk(body):
        if isinstance(node, ast.If):
            inside = [
                any(n is call for step in node.body for n in ast.walk(step)) for call in (first, second)
            ]
            other = [
                any(n is call for step in node.orelse for n in ast.walk(step)) for call in (first, second)
            ]
            if (inside[0] and other[1]) or (inside[1] and other[0]):
                return True
    return False


def _renewed(body: ast.AST, model: str, start: int, end: int) -> bool:
    for node in ast.walk(body):
        if not start < getattr(node, "lineno", 0) < end:
            continue
        if isinstance(node, ast.Name) and node.id == model and isinstance(node.ctx, ast.Store):
            return True
        if (
            isinstance(node, ast.Attribute)
            and node.attr in _RESTORES
            and model in {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        ):
            return True
    return False


def _spot(unit: Unit, node: ast.Call) -> Spot:
    return Spot(unit.name, node.lineno, node.col_offset)

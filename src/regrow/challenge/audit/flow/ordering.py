"""The order of scoring and learning: is each validation token scored before anything learns from it?

A *learning step* is an optimiser step whose gradients come from validation text. It is honest where the same
turn of an enclosing loop over the text has already computed the losses that are reported, and no later turn
reports them again.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.call import REPLAY
from regrow.challenge.audit.flow.events import Event

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

_REPORTS = re.compile(r"(?i)byte|bpb|log\(2|log2")
_EPOCH = re.compile(r"(?i)epoch|pass|round|rep|iter|cycle|^_?ep?$|^_+$")


@dataclass
class Learning:
    """One optimiser step on validation text, with the scores around it.

    Attributes:
        step: the step.
        backward: the gradients it uses.
        before: the reported score of the same turn whose losses were computed before the step, if any.
        after: the reported score of the same turn and the same text whose losses were computed after it, if
        any. later: any reported score after it.
        repeated: the enclosing loop that scores the same text again, turn after turn, if any.
    """

    step: Event
    backward: Event | None
    before: Event | None = None
    after: Event | None = None
    later: Event | None = None
    repeated: int | None = None
    scores: list[Event] = field(default_factory=list)


def learnings(program: Program) -> list[Learning]:
    """Every learning step of a program, one for each place."""
    flow = program.flow
    losses: dict[int, list[Event]] = {}
    for event in flow.events:
        if event.kind == "loss":
            for site in event.value.losses:
                losses.setdefault(site, []).append(event)
    scores = [e for e in flow.events if e.kind == "score" and e.value.tags & v.VAL]
    reported = [e for e in scores if _is_reported(program, e, losses)]
    backward: Event | None = None
    found: dict[tuple[str, int, bool], Learning] = {}
    for event in flow.events:
        if event.kind == "backward":
            backward = event
        if event.kind != "step" or not event.value.tags & v.VAL or not event.value.tags & v.GOLD:
            continue
        if _thrown_away(program, event, reported):
            continue
        item = _judge(program, Learning(event, backward), reported, losses)
        key = (event.spot.file, event.spot.line, event.dormant)
        old = found.get(key)
        if old is None or (old.before is not None and item.before is None):
            found[key] = item
    return list(found.values())


def _thrown_away(program: Program, step: Event, reported: list[Event]) -> bool:
    """Whether what the step moves cannot reach a score: deleted, or a local object that nothing scored
    uses. A free tensor is made for one window and dropped after it: that it is gone later says nothing."""
    if step.value.tags & v.LEAF:
        return False
    fresh, _, optimizer = step.detail.partition(":")
    if optimizer.isdigit() and int(optimizer) in program.flow.discarded:
        return True
    depth = len(step.stack)
    return bool(fresh) and not any(s.seq > step.seq and s.stack[:depth] == step.stack for s in reported)


def _judge(
    program: Program, item: Learning, reported: list[Event], losses: dict[int, list[Event]]
) -> Learning:
    flow, step = program.flow, item.step
    for score in reported:
        if score.seq > step.seq and item.later is None and (step.dormant or not score.dormant):
            item.later = score
        shared = _shared(score.loops, step.loops)
        if not shared or score.stack[:1] != step.stack[:1]:
            continue
        moments = [
            e for site in score.value.losses for e in losses.get(site, ()) if e.loops[: len(shared)] == shared
        ]
        if any(e.seq < step.seq for e in moments) and item.before is None:
            item.before = score
            item.repeated = _repeated(program, score, shared)
        if (
            any(e.seq > step.seq for e in moments)
            and score.seq > step.seq
            and _same_text(program, step, score)
        ):
            item.after = score
    _ = flow
    return item


def _shared(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return a[:count]


def _same_text(program: Program, step: Event, score: Event) -> bool:
    common = step.value.cuts & score.value.cuts
    return any(program.flow.site_inside.get(site, False) for site in common)


def _repeated(program: Program, score: Event, shared: tuple[int, ...]) -> int | None:
    """A shared counting loop on which the scored text does not depend: each turn scores the same text."""
    depends = set(score.value.loops)
    for site in score.value.cuts:
        depends |= program.flow.site_loops.get(site, frozenset())
    for loop in shared:
        info = program.flow.loop_info.get(loop % REPLAY)
        if info is None or loop % REPLAY in depends or loop % REPLAY in program.flow.once:
            continue
        node = info[1]
        if (
            isinstance(node, ast.For)
            and isinstance(node.target, ast.Name)
            and _EPOCH.search(node.target.id)
            and isinstance(node.iter, ast.Call)
            and getattr(node.iter.func, "id", "") in ("range", "trange")
        ):
            return loop
    return None


def _is_reported(program: Program, score: Event, losses: dict[int, list[Event]]) -> bool:
    if any(e.no_grad for site in score.value.losses for e in losses.get(site, ())):
        return True
    return function_reports(program, score) and _adds_up_to_a_report(program, score)


def function_reports(program: Program, event: Event) -> bool:
    """Whether the function around an event counts bytes or turns nats into bits: its sums are what is
    reported."""
    unit = program.unit(event.spot.file)
    return unit is not None and bool(_REPORTS.search(unit.around(event.spot.line)))


def _adds_up_to_a_report(program: Program, score: Event) -> bool:
    """Whether the sum that a loss is added to leaves the function or meets bytes or bits, and is not only printed.

    A training loop keeps the average of its losses for the log; that is no score.
    """
    unit = program.unit(score.spot.file)
    node = unit.function_around(score.spot.line) if unit is not None else None
    if node is None or not score.detail:
        return True
    spec = node.args
    if score.detail in {a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)}:
        return True  # a sum handed in by the caller
    names = {score.detail}
    steps = [
        n for n in ast.walk(node) if isinstance(n, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return)
    ]
    for _ in range(4):
        before = len(names)
        for step in steps:
            value = step.value
            if value is None or not any(_named(n) in names for n in ast.walk(value)):
                continue
            if isinstance(step, ast.Return) or _REPORTS.search(ast.unparse(step)):
                return True
            for target in step.targets if isinstance(step, ast.Assign) else [step.target]:
                names.update(_named(n) for n in ast.walk(target))
        names.discard("")
        if len(names) == before:
            break
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    outer = {n for step in ast.walk(node) if isinstance(step, ast.Global | ast.Nonlocal) for n in step.names}
    return score.detail not in stored - outer  # a sum that belongs to a scope around the function


def _named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""

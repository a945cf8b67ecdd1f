"""The order of scoring and learning: is each validation token scored before anything learns from it?

A *learning step* is an optimiser step whose gradients come from validation text. It is honest where the same
turn of an enclosing loop over the text has already computed the losses that are reported, and no later turn
reports them again.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import Event, Instance, LoopId
from regrow.challenge.audit.source.syntax import is_call, names_in
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

_REPORTS = re.compile(r"(?i)byte|bpb|log\(2|log2")
_EPOCH = re.compile(r"(?i)epoch|pass|round|rep|iter|cycle|^_?ep?$|^_+$")


@dataclass
class Learning:
    """One optimiser step on validation text, with the reported scores of the same turn."""

    step: Event
    backward: Event | None  # the gradients it uses
    before: Event | None = None  # a score whose losses were computed before the step
    after: Event | None = None  # a score of the same text whose losses were computed after it
    repeated: int | None = None  # site of the enclosing loop that scores the same text again, turn after turn


@dataclass(frozen=True)
class Ordering:
    """The events of a program by what they share."""

    program: Program

    @cached_property
    def losses(self) -> dict[int, list[Event]]:
        """Where each loss of the target was computed."""
        found: dict[int, list[Event]] = defaultdict(list)
        for event in self.program.flow.of("loss"):
            for number in event.value.losses:
                found[number].append(event)
        return found

    @cached_property
    def cuts(self) -> dict[Spot, list[Event]]:
        """Where validation tokens are cut out of the stream."""
        found: dict[Spot, list[Event]] = defaultdict(list)
        for event in self.program.flow.of("cut"):
            found[event.spot].append(event)
        return found

    @cached_property
    def reported(self) -> list[Event]:
        """Scores of validation text that are reported."""
        scores = (e for e in self.program.flow.of("score") if e.value.tags & v.VAL)
        return [
            e
            for e in scores
            if any(loss.no_grad for loss in self.moments(e))
            or (function_reports(self.program, e) and _adds_up_to_a_report(self.program, e))
        ]

    def moments(self, score: Event) -> list[Event]:
        """When the losses of a score were computed."""
        return [e for number in score.value.losses for e in self.losses.get(number, ())]

    def inside(self, cut: Spot) -> bool:
        """Whether a cut stands in a loop: a chunk of the text, not the text."""
        return any(e.loops for e in self.cuts.get(cut, ()))

    def first_chunk(self, step: Event) -> Spot | None:
        """The first place, in the order of the source, where the text of a step was cut into chunks."""
        return min(filter(self.inside, step.value.cuts), default=None)

    @cached_property
    def learnings(self) -> list[Learning]:
        """Every learning step of the program, one for each place."""
        backward: Event | None = None
        found: dict[tuple[str, int, bool], Learning] = {}
        for event in self.program.flow.of("backward", "step"):
            if event.kind == "backward":
                backward = event
            elif event.value.tags & (v.VAL | v.GOLD) == v.VAL | v.GOLD and not _thrown_away(self, event):
                item = _judge(self, Learning(event, backward))
                key = (event.spot.file, event.spot.line, event.dormant)
                old = found.get(key)
                if old is None or (old.before is not None and item.before is None):
                    found[key] = item
        return list(found.values())


def _thrown_away(order: Ordering, step: Event) -> bool:
    """Whether what the step moves cannot reach a score: deleted, or a local object that nothing scored uses.

    A free tensor is made for one window and dropped after it: that it is gone later says nothing.
    """
    optimizer = step.other.ref
    if step.value.tags & v.LEAF or not isinstance(optimizer, Instance):
        return False
    depth = len(step.stack)
    used = any(s.seq > step.seq and s.stack[:depth] == step.stack for s in order.reported)
    return optimizer.deleted or (optimizer.fresh and not used)


def _judge(order: Ordering, item: Learning) -> Learning:
    step = item.step
    for score in order.reported:
        shared = _shared(score.loops, step.loops)
        if not shared or score.stack[:1] != step.stack[:1]:
            continue
        moments = [e for e in order.moments(score) if e.loops[: len(shared)] == shared]
        if item.before is None and any(e.seq < step.seq for e in moments):
            item.before = score
            item.repeated = _repeated(order, score, shared)
        later = score.seq > step.seq and any(e.seq > step.seq for e in moments)
        if later and any(map(order.inside, step.value.cuts & score.value.cuts)):
            item.after = score
    return item


def _shared(a: tuple[LoopId, ...], b: tuple[LoopId, ...]) -> tuple[LoopId, ...]:
    count = 0
    while count < min(len(a), len(b)) and a[count] == b[count]:
        count += 1
    return a[:count]


def _repeated(order: Ordering, score: Event, shared: tuple[LoopId, ...]) -> int | None:
    """A shared counting loop on which the scored text does not depend: each turn scores the same text."""
    depends = set(score.value.loops)
    for cut in score.value.cuts:
        for event in order.cuts.get(cut, ()):
            depends |= event.other.loops
    for site in (loop.site for loop in shared):
        loop = order.program.flow.loops[site]
        node = loop.node
        if (
            site not in depends
            and not loop.once
            and isinstance(node, ast.For)
            and isinstance(node.target, ast.Name)
            and _EPOCH.search(node.target.id)
            and is_call(node.iter, "range", "trange")
        ):
            return site
    return None


def function_reports(program: Program, event: Event) -> bool:
    """Whether the function around an event counts bytes or turns nats into bits: its sums are what is reported."""
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
        for step in steps:
            if names.isdisjoint(names_in(step.value)):
                continue
            if isinstance(step, ast.Return) or _REPORTS.search(ast.unparse(step)):
                return True
            for target in step.targets if isinstance(step, ast.Assign) else [step.target]:
                names.update(names_in(target))
    stored = set(names_in(node, stored=True))
    outer = {n for step in ast.walk(node) if isinstance(step, ast.Global | ast.Nonlocal) for n in step.names}
    return score.detail not in stored - outer  # a sum that belongs to a scope around the function

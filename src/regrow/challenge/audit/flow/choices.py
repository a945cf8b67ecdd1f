"""Choosing between abstract values: `where`, the smaller or larger of two, a value kept within bounds."""

from __future__ import annotations

import ast

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.containers import Containers
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Value


class Choices(Containers):
    """Evaluation of choices; the rest of what torch and numpy do builds on it."""

    def _where(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if len(args) < 3:
            return None
        test, one, other = args[:3]
        if test.tags & v.GOLD and test.tags & v.COND_T and (one.tags & v.GOLD or other.tags & v.GOLD):
            self.event("select", node, v.union(one, other))
        self.mixing(node, one, other, ast.Mod())
        for kept, filler in ((one, other), (other, one)):
            # `where(target < size, target, unknown)`; a negative number marks what is left out of the score
            number = filler.const if isinstance(filler.const, int) else -1
            if number >= 0 and kept.tags & v.TGT and kept.tags & v.TOK and test.tags & v.COND_T:
                self.event("clamp", node, kept)
        out = v.join(one, other)
        gated = (
            test.tags & v.PROP
            and not test.tags & (v.BYTES | v.HITS)
            and out.tags & (v.GOLD | v.DIST)
            and not out.tags & v.COUNT_T
        )
        add = v.COND_T if gated else 0
        return Value(
            out.tags | (test.tags & v.ORIGIN),
            MISSING,
            None,
            out.cuts,
            out.losses,
            out.loops | test.loops,
            out.why,
        ).with_tags(add, 0, self.spot(node))

    def _minimum(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        given = ([receiver] if receiver.ref is None and receiver.tags else []) + args
        if len(given) == 1 and isinstance(given[0].ref, Elements):
            items = given[0].ref.items
            given = items if items is not None else given
        gold = [g for g in given if g.tags & v.GOLD and not g.tags & v.SCORE]
        if len(gold) > 1 and gold[0] is not gold[1]:
            self.event("select", node, v.union(*gold))
        axis = kwargs.get("dim", kwargs.get("axis"))
        one = given[0] if given else NOTHING
        if axis is not None and axis.const == 0 and one.tags & v.GOLD and len(one.losses) > 1:
            self.event("select", node, one)  # the smaller of stacked losses
        consts = [a.const for a in args]
        if (
            len(consts) > 1
            and MISSING not in consts
            and not any(isinstance(c, str | type(None)) for c in consts)
        ):
            return Value(0, min(consts))
        clamped = [g for g in given if g.tags & v.TGT and g.tags & v.TOK]
        if clamped and len(given) > 1 and dotted.startswith(("np", "numpy", "torch")):
            self.event("clamp", node, clamped[0])
        return v.union(*given) if given else None

    def _maximum(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        consts = [a.const for a in args]
        if (
            len(consts) > 1
            and MISSING not in consts
            and not any(isinstance(c, str | type(None)) for c in consts)
        ):
            return Value(0, max(consts))
        return None

    def _clamp(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        given = [receiver, *args] if not isinstance(receiver.ref, External) else args
        if given and given[0].tags & v.TGT and given[0].tags & v.TOK:
            upper = kwargs.get("max", kwargs.get("a_max", given[2] if len(given) > 2 else None))
            if upper is not None and upper.const is not None:
                self.event("clamp", node, given[0])
        return given[0].plain() if given else None

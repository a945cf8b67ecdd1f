"""Abstract values of the data-flow analysis: what a value is made of, as a set of tags, and what it refers
to.

A tag is one bit. Tags say where data came from (validation text, training text), which role it plays in
scoring (the target, the context), and what was made of it (a hashed key, a count read with that key, the
probability of the target).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from regrow.challenge.audit.source.unit import Spot as Spot

VAL = 1 << 0  # made from validation text
TRAIN = 1 << 1  # made from training text
TOK = 1 << 2  # token ids themselves, not something computed from them
TGT = 1 << 3  # the token that is being predicted
CTX = 1 << 4  # tokens before the predicted one
MIXED = 1 << 5  # tokens multiplied, shifted or xored: a hash in the making
KEY = 1 << 6  # a hash reduced to a bucket number
KEYT = 1 << 7  # ... of which the target is part
COUNT_T = 1 << 8  # read from a table with such a key: one number for the target alone
COUNT_C = 1 << 9  # read from a table with a key of context tokens
DIST = 1 << 10  # a row over the vocabulary: logits or probabilities
GOLD = 1 << 11  # the target's own probability, log-probability or loss
LEAF = 1 << 12  # a free tensor that an optimiser may move (not a parameter of the model)
BYTES = 1 << 13  # a number of bytes
PROP = 1 << 14  # a property of the target looked up in a table (starts a word, is a boundary, its bytes)
PERBYTE = 1 << 15  # the target's loss divided by its own number of bytes
PARAM = 1 << 16  # parameters of the model
SCORE = 1 << 17  # a sum of losses that is reported
PIECE = 1 << 18  # text of one vocabulary entry
TEXT = 1 << 19  # raw text
COND_T = 1 << 20  # truth value that depends on the target
FILES_VAL = 1 << 21  # path or pattern of validation shards
FILES_TRAIN = 1 << 22  # path or pattern of training shards
ADAPTED = 1 << 23  # computed with a LEAF that has been optimised
HITS = 1 << 24  # `target == hint`: the numerator of an honest tilt
CARRIED = 1 << 25  # kept from an earlier turn of a loop
TABLEV = 1 << 26  # contents of a table counted from validation text

VOCAB = 1 << 27  # runs over the whole vocabulary
NORM = 1 << 28  # the sum of a row over the vocabulary, or something divided by it

BETTER = 1 << 29  # which of two losses of the target is the smaller
GRAD = 1 << 30  # the gradient of a free tensor or of parameters

ROLE = TOK | TGT | CTX | MIXED | KEY | KEYT
ORIGIN = VAL | TRAIN
#: Tags that survive a look-up in a table of constants, a matrix product, or any call that is not understood.
KEEP = ~(TOK | TGT | CTX | MIXED | KEY | KEYT | PARAM | FILES_VAL | FILES_TRAIN | PIECE)

MISSING: Any = type("Missing", (), {"__repr__": lambda s: "?"})()


class Value:
    """One abstract value.

    Attributes:
        tags: set of tags, as bits.
        const: the Python constant it is, where known (numbers, strings, booleans, None).
        ref: what it refers to: a Function, Class, Instance, Module, or a list of element Values.
        cuts: places where validation tokens were cut out of the stream to make it.
        losses: places where a loss of the target was computed into it.
        loops: loops whose running variable it depends on.
        why: first place where each interesting tag appeared.
    """

    __slots__ = ("const", "cuts", "loops", "losses", "ref", "tags", "why")

    def __init__(
        self,
        tags: int = 0,
        const: Any = MISSING,
        ref: Any = None,
        cuts: frozenset[int] = frozenset(),
        losses: frozenset[int] = frozenset(),
        loops: frozenset[int] = frozenset(),
        why: dict[int, Spot] | None = None,
    ) -> None:
        self.tags, self.const, self.ref = tags, const, ref
        self.cuts, self.losses, self.loops = cuts, losses, loops
        self.why = why

    def with_tags(self, add: int, drop: int = 0, spot: Spot | None = None) -> Value:
        """The same value with tags added and dropped; new tags remember `spot`."""
        tags = (self.tags | add) & ~drop
        new = add & ~self.tags
        why = self.why
        if new and spot is not None:
            why = dict(why) if why else {}
            bit = 1
            while bit <= new:
                if new & bit:
                    why.setdefault(bit, spot)
                bit <<= 1
        elif tags == self.tags:
            return self
        return Value(tags, MISSING if add else self.const, self.ref, self.cuts, self.losses, self.loops, why)

    def plain(self, keep: int = -1) -> Value:
        """The data without constant and reference, with only the tags in `keep`."""
        return Value(self.tags & keep, MISSING, None, self.cuts, self.losses, self.loops, self.why)

    def spot(self, tag: int) -> Spot | None:
        """Where a tag first appeared, if known."""
        return self.why.get(tag) if self.why else None

    def __repr__(self) -> str:
        return f"Value({self.tags:b}, {self.const!r}, {self.ref!r})"


NOTHING = Value()
_EMPTY: frozenset[int] = frozenset()


def join(*values: Value) -> Value:
    """Data that may be made from any of these: tags united, constant and reference kept only where all
    agree."""
    if len(values) == 1:
        return values[0]
    first = values[0]
    tags, const, ref = first.tags, first.const, first.ref
    cuts, losses, loops, why = first.cuts, first.losses, first.loops, first.why
    for value in values[1:]:
        tags |= value.tags
        if const is not MISSING and (
            value.const is MISSING or type(value.const) is not type(const) or value.const != const
        ):
            const = MISSING
        if ref is not value.ref:
            ref = _join_refs(ref, value.ref)
        if value.cuts and not value.cuts <= cuts:
            cuts = cuts | value.cuts
        if value.losses and not value.losses <= losses:
            losses = losses | value.losses
        if value.loops and not value.loops <= loops:
            loops = loops | value.loops
        if value.why:
            why = {**value.why, **why} if why else value.why
    return Value(tags, const, ref, cuts, losses, loops, why)


def _join_refs(a: Any, b: Any) -> Any:
    if a is None:
        return b
    if b is None:
        return a
    if isinstance(a, Elements) and isinstance(b, Elements):
        if (
            a.items is not None
            and b.items is not None
            and len(a.items) == len(b.items)
            and a.kind == b.kind == "tuple"
        ):
            return Elements("tuple", [join(x, y) for x, y in zip(a.items, b.items, strict=True)])
        merged = Elements(a.kind, None, join(a.summary(), b.summary()))
        return merged
    return a


def union(*values: Value, keep: int = -1) -> Value:
    """Data computed from all of these: like `join`, without constants and references."""
    out = join(*values) if values else NOTHING
    return Value(out.tags & keep, MISSING, None, out.cuts, out.losses, out.loops, out.why)


@dataclass(eq=False)
class Function:
    """A function or lambda, with the scope it closes over and, for a method, its class."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    unit: Any
    owner: ClassDef | None = None
    name: str = ""


@dataclass(eq=False)
class Bound:
    """A method with its receiver."""

    function: Function
    receiver: Value


@dataclass(eq=False)
class Partial:
    """functools.partial of a callee."""

    callee: Value
    args: list[Value]
    kwargs: dict[str, Value]


@dataclass(eq=False)
class ClassDef:
    """A class: its methods, class attributes, and base classes in order."""

    name: str
    scope: Scope
    bases: list[ClassDef]
    is_module: bool
    base_names: tuple[str, ...] = ()

    def find(self, name: str) -> Value | None:
        """Attribute found along the bases."""
        if name in self.scope.names:
            return self.scope.names[name]
        for base in self.bases:
            found = base.find(name)
            if found is not None:
                return found
        return None

    def kind_of(self, *words: str) -> bool:
        """Whether a base name outside the submission contains one of the words (Optimizer, Module)."""
        return any(w in b for w in words for b in self.base_names) or any(
            b.kind_of(*words) for b in self.bases
        )


@dataclass(eq=False)
class Instance:
    """An object of a class of the submission, or of a library kind (`optimizer`, `module`, `counter`,
    ...).

    Attributes:
        cls: its class, where the submission defines it.
        kind: its kind, where a library does.
        attrs: its attributes.
        line: where it was made.
        moves: for an optimiser, names of what it moves, as the call that made it spells them.
    """

    cls: ClassDef | None
    kind: str = ""
    attrs: dict[str, Value] = field(default_factory=dict)
    line: int = 0
    moves: frozenset[str] = frozenset()


@dataclass(eq=False)
class Elements:
    """A list, tuple, dict or set: its items while they are few and known, and the join of everything put
    in."""

    kind: str
    items: list[Value] | None = None
    rest: Value = NOTHING
    keyed: dict[Any, Value] | None = None

    def summary(self) -> Value:
        """What any element may be."""
        values = list(self.items or ()) + list((self.keyed or {}).values())
        if not values:
            return self.rest
        return join(self.rest, *values) if self.rest is not NOTHING else join(*values)


@dataclass(eq=False)
class External:
    """Something of a library, by dotted name: `torch.nn.functional.cross_entropy`."""

    name: str


@dataclass(eq=False)
class Scope:
    """Names of a module, class or function, with the scope around it."""

    names: dict[str, Value]
    parent: Scope | None = None
    is_class: bool = False

    def lookup(self, name: str) -> Value | None:
        """Value of a name, looked up outwards."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found is not None:
                return found
            scope = scope.parent
            while scope is not None and scope.is_class:
                scope = scope.parent
        return None

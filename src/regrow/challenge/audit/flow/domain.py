"""Abstract values of the data-flow analysis: what a value is made of, as a set of tags, and what it refers to.

A tag is one bit. Tags say where data came from (validation text, training text), which role it plays in scoring (the
target, the context), and what was made of it (a hashed key, a count read with that key, the target's probability).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.source.unit import Unit

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
COND_T = 1 << 20  # truth value that depends on the target
FILES_VAL = 1 << 21  # path or pattern of validation shards
FILES_TRAIN = 1 << 22  # path or pattern of training shards
HITS = 1 << 24  # `target == hint`: the numerator of an honest tilt
CARRIED = 1 << 25  # kept from an earlier turn of a loop

VOCAB = 1 << 27  # runs over the whole vocabulary
NORM = 1 << 28  # the sum of a row over the vocabulary, or something divided by it

BETTER = 1 << 29  # which of two losses of the target is the smaller
GRAD = 1 << 30  # the gradient of a free tensor or of parameters

ROLE = TOK | TGT | CTX | MIXED | KEY | KEYT
ORIGIN = VAL | TRAIN
#: Tags that survive a look-up in a table of constants, a matrix product, or any call that is not understood.
KEEP = ~(TOK | TGT | CTX | MIXED | KEY | KEYT | PARAM | FILES_VAL | FILES_TRAIN)

MISSING: Any = type("Missing", (), {"__repr__": lambda s: "?"})()
_NONE: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One abstract value."""

    tags: int = 0
    const: Any = MISSING  # the Python constant it is, where known (numbers, strings, booleans, None)
    ref: Any = None  # an object of a class below: Function, ClassDef, Instance, ..., or the Scope of a module
    cuts: frozenset[Spot] = _NONE  # places where validation tokens were cut out of the stream to make it
    losses: frozenset[int] = _NONE  # numbers of the losses of the target that were computed into it
    loops: frozenset[int] = _NONE  # sites of the loops whose running variable it depends on
    why: Mapping[int, Spot] | None = None  # first place where each interesting tag appeared

    def with_tags(self, add: int, drop: int = 0, spot: Spot | None = None) -> Value:
        """The same value with tags added and dropped; new tags remember `spot`."""
        tags = (self.tags | add) & ~drop
        new = add & ~self.tags
        why = self.why
        if new and spot is not None:
            bits = (1 << n for n in range(new.bit_length()) if new >> n & 1)
            why = {**dict.fromkeys(bits, spot), **(why or {})}
        elif tags == self.tags:
            return self
        return replace(self, tags=tags, const=MISSING if add else self.const, why=why)

    def unknown(self) -> Value:
        """The same value, no constant any more."""
        return self if self.const is MISSING else replace(self, const=MISSING)

    def plain(self, keep: int = -1) -> Value:
        """The data without constant and reference, with only the tags in `keep`."""
        return replace(self, tags=self.tags & keep, const=MISSING, ref=None)

    def spot(self, tag: int) -> Spot | None:
        """Where a tag first appeared, if known."""
        return self.why.get(tag) if self.why else None


NOTHING = Value()


def join(*values: Value) -> Value:
    """Data that may be made from any of these: tags united, constant and reference kept only where all agree."""
    if len(values) == 1:
        return values[0]
    first = values[0]
    tags, const, ref = first.tags, first.const, first.ref
    cuts, losses, loops, why = first.cuts, first.losses, first.loops, first.why
    for value in values[1:]:
        tags |= value.tags
        if const is not MISSING and (type(value.const) is not type(const) or value.const != const):
            const = MISSING
        if ref is not value.ref:
            ref = _join_refs(ref, value.ref)
        cuts = _merge(cuts, value.cuts)
        losses = _merge(losses, value.losses)
        loops = _merge(loops, value.loops)
        if value.why and value.why is not why:
            why = {**value.why, **why} if why else value.why
    return Value(tags, const, ref, cuts, losses, loops, why)


def _merge(a: frozenset[Any], b: frozenset[Any]) -> frozenset[Any]:
    return a if b <= a else a | b


def _join_refs(a: Any, b: Any) -> Any:
    if not (isinstance(a, Elements) and isinstance(b, Elements)):
        return b if a is None else a
    if (
        a.kind == b.kind == "tuple"
        and a.items is not None
        and b.items is not None
        and len(a.items) == len(b.items)
    ):
        return Elements("tuple", [join(x, y) for x, y in zip(a.items, b.items, strict=True)])
    return Elements(a.kind, None, join(a.summary(), b.summary()))


def union(*values: Value, keep: int = -1) -> Value:
    """Data computed from all of these: like `join`, without constants and references."""
    return join(*values).plain(keep) if values else NOTHING


def flat(value: Value) -> Value:
    """Everything inside a value, nested lists and dicts included."""
    ref, depth = value.ref, 0
    while isinstance(ref, Elements) and depth < 4:
        inside = ref.summary()
        value, ref, depth = union(value, inside), inside.ref, depth + 1
    return value.plain()


def element(value: Value) -> Value:
    """What iterating over a value gives."""
    ref = value.ref
    if isinstance(ref, Elements):
        if ref.kind == "dict":
            return NOTHING if ref.keyed is None else Value(ref.rest.tags & TOK)
        return ref.summary()
    return value.unknown() if ref is not None else value.plain()


@dataclass(eq=False)
class Function:
    """A function or lambda, with the scope it closes over."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    unit: Unit
    name: str
    kind: str = ""  # `property`, `staticmethod`, `classmethod` or nothing
    quiet: bool = False  # whether it runs under no_grad by its own decorator
    defaults: dict[ast.expr, Value] = field(default_factory=dict)  # as evaluated where it is defined


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
class External:
    """Something of a library, by dotted name: `torch.nn.functional.cross_entropy`."""

    name: str


@dataclass(eq=False)
class ClassDef:
    """A class: its methods and attributes, its bases of the submission, and the names of all bases, in order."""

    scope: Scope
    bases: list[ClassDef]
    base_names: tuple[str, ...]

    def find(self, name: str) -> Value | None:
        """Attribute found along the bases."""
        found = (base.find(name) for base in self.bases)
        return self.scope.names.get(name) or next((f for f in found if f is not None), None)

    def kind_of(self, *words: str) -> bool:
        """Whether the name of a base contains one of the words (Optimizer, Module)."""
        named = any(w in b for w in words for b in self.base_names)
        return named or any(b.kind_of(*words) for b in self.bases)

    @cached_property
    def is_module(self) -> bool:
        """Whether it is a module of torch."""
        return self.kind_of("Module")


@dataclass(eq=False)
class Instance:
    """An object of a class of the submission, or an optimiser of a library."""

    cls: ClassDef | None  # its class, where the submission defines it
    kind: str = ""  # `optimizer`, `module` or nothing
    attrs: dict[str, Value] = field(default_factory=dict)  # an optimiser's `params` are what it moves
    moves: frozenset[str] = _NONE  # names of what an optimiser moves, as the call that made it spells them
    fresh: bool = False  # whether the function that made an optimiser has built what it moves
    deleted: bool = False  # whether an optimiser was deleted together with what it moves


@dataclass(eq=False)
class Elements:
    """A list, tuple, dict or set: its items while they are few and known, and the join of everything put in."""

    kind: str
    items: list[Value] | None = None
    rest: Value = NOTHING
    keyed: dict[Any, Value] | None = None

    def summary(self) -> Value:
        """What any element may be."""
        values = [*(self.items or ()), *(self.keyed or {}).values()]
        if self.rest is not NOTHING or not values:
            values.insert(0, self.rest)
        return join(*values)

    def put(self, value: Value) -> None:
        """One more element, nobody knows where."""
        self.rest = value if self.rest is NOTHING else join(self.rest, value)


@dataclass(eq=False)
class Scope:
    """Names of a module, class or function, with the scope around it."""

    names: dict[str, Value]
    parent: Scope | None = None
    is_class: bool = False

    def lookup(self, name: str) -> Value | None:
        """Value of a name, looked up outwards; a function does not see the class around it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.parent
        return None


@dataclass(frozen=True, slots=True)
class LoopId:
    """One run of a loop.

    Attributes:
        site: number of the run among all that the walk followed, an index into `Trace.loops`.
        instance: 0 as it was followed; the number of the replay where a call was not followed again, so that two
            calls are never taken for one turn of a loop.
    """

    site: int
    instance: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One step of the script, in program order.

    Kinds, and what `value` is:
        `loss`      a loss of the target is computed (value: the loss)
        `score`     a loss is added to what is reported (value: what is added; detail: the name of the sum)
        `backward`  gradients of a loss are taken
        `step`      an optimiser moves something (value: data of the gradients; other: what moves, and the optimiser)
        `mix`       a count read for the target is mixed with its probability, or its logarithm taken
        `select`    the better of two losses of the target is taken
        `perbyte`   the target's loss is divided among its bytes and mixed with a byte model
        `clamp`     targets are forced into a smaller vocabulary
        `stored`    data is written into a file (value: the data; other: the rest of the call)
        `cut`       validation tokens are cut out of a stream (detail: the length; other: the index)
        `model`     a model sees data
        `hook`      a hook is hung on a model
    """

    kind: str
    seq: int  # running number
    spot: Spot
    value: Value
    loops: tuple[LoopId, ...]  # loops around it, outermost first, across calls
    stack: tuple[str, ...]  # functions around it, outermost first
    dormant: bool  # in a branch that default settings do not take, or in a function that nothing calls
    no_grad: bool  # under no_grad or inference_mode
    detail: str = ""
    other: Value = NOTHING

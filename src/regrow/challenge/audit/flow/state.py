"""What a walk over a program knows: facts of the program, the frame of the call it is in, and the trace it leaves.

Every part of the interpreter is a free function whose first argument is a `Walk`. What to do with a kind of
expression, a kind of statement or a call into a library is looked up in three tables, which decorators fill:
`@expression(ast.BinOp)`, `@statement(ast.If)`, `@models("gather take_along_dim")`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Event, External, LoopId, Scope, Value, union
from regrow.challenge.audit.flow.roles import Body
from regrow.challenge.audit.source.syntax import FunctionNode
from regrow.challenge.audit.source.unit import Spot, Unit

#: What a walk does at most; where one of these bites, the trace says so.
MAX_STEPS = 250_000
MAX_EVENTS = 20_000
MAX_REPLAYED = 400
MAX_CALLS = 24


@dataclass(frozen=True)
class Facts:
    """What is known of a program before the walk."""

    units: tuple[Unit, ...]  # its sources, entries first
    logs: str  # lines that the submission's logs hold, stripped, each after a newline
    proven: frozenset[str]  # names whose default the logs prove not to decide a branch
    restless: frozenset[str]  # names that are no constants: set more than once, or proven
    every_branch: bool = False  # take no environment variable for its default

    @cached_property
    def text(self) -> str:
        """The text of all sources."""
        return "\n".join(unit.text for unit in self.units)

    @cached_property
    def by_module(self) -> dict[str, Unit]:
        """Sources by module name; of several, the first."""
        return {unit.module: unit for unit in reversed(self.units)}

    @cached_property
    def bodies(self) -> dict[FunctionNode, Body]:
        """Every function and lambda."""
        return {n: Body(n) for u in self.units for n in u.nodes if isinstance(n, FunctionNode)}

    @cached_property
    def positions(self) -> frozenset[ast.Subscript]:
        """Subscripts that read the target, as the function around them shows."""
        return frozenset().union(*(body.positions for body in self.bodies.values()))


@dataclass(frozen=True)
class Frame:
    """Where the walk is: a call, and the blocks of it that are open."""

    unit: Unit
    scope: Scope  # its names
    body: Body | None = None  # the function; None in the body of a module
    loops: tuple[LoopId, ...] = ()  # loops around, outermost first, across calls
    stack: tuple[str, ...] = ()  # names of the functions around, outermost first
    calls: tuple[FunctionNode, ...] = ()  # the functions around
    classes: tuple[v.ClassDef, ...] = ()  # classes whose body is being walked
    dormant: bool = False  # in what default settings do not reach
    no_grad: bool = False  # under no_grad or inference_mode
    returns: list[Value] = field(default_factory=list)  # values returned so far
    yields: list[Value] = field(default_factory=list)  # values that a generator has handed out so far


@dataclass(frozen=True)
class Loop:
    """A loop as the walk entered it; `once` where it is known to turn once at most."""

    unit: Unit
    node: ast.AST
    once: bool


@dataclass(frozen=True)
class Summary:
    """What a function did when it was followed: its result, the events it left, and how deep it then stood."""

    result: Value
    events: tuple[Event, ...]
    loops: int
    stack: int


@dataclass
class Trace:
    """What a walk leaves; it only ever grows."""

    events: list[Event] = field(default_factory=list)  # steps of the script in program order
    problems: dict[tuple[str, str], Spot] = field(
        default_factory=dict
    )  # what was not followed, in which file
    loops: list[Loop] = field(default_factory=list)  # by the site of their `LoopId`
    steps: int = 0  # expressions evaluated so far
    losses: int = 0  # losses of the target so far; each has its number
    replays: int = 0  # calls replayed so far

    def of(self, *kinds: str) -> Iterator[Event]:
        """The events of some kinds, in program order."""
        return (event for event in self.events if event.kind in kinds)

    def add(self, event: Event) -> None:
        """One more event, or the problem that there are too many."""
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.problem("too-many-events", event.spot)

    def problem(self, what: str, spot: Spot) -> None:
        """A part of the source is not followed from here on."""
        self.problems.setdefault((what, spot.file), spot)


@dataclass
class Heap:
    """What the script itself has changed by now."""

    environment: dict[str, str | None]  # environment variables, its own settings included; None where unknown
    modules: dict[str, Scope] = field(default_factory=dict)  # names of the modules whose bodies have run
    called: set[FunctionNode] = field(default_factory=set)  # functions that something has called
    summaries: dict[Any, Summary] = field(default_factory=dict)  # by function and arguments
    gradient: list[Value] = field(default_factory=list)  # losses whose gradients wait for a step
    stepped: bool = False  # whether a step has used them
    ran: dict[ast.stmt, bool] = field(default_factory=dict)  # blocks that the logs show to have run, or not


@dataclass(frozen=True)
class Walk:
    """The one argument of every part of the interpreter."""

    facts: Facts
    frame: Frame
    trace: Trace
    heap: Heap

    @property
    def scope(self) -> Scope:
        """The names of the frame."""
        return self.frame.scope

    def inside(self, **changes: Any) -> Walk:
        """The walk in a frame that differs from this one."""
        return Walk(self.facts, replace(self.frame, **changes), self.trace, self.heap)

    def enter_loop(self, node: ast.AST, once: bool = False) -> Walk:
        """The walk inside a loop."""
        self.trace.loops.append(Loop(self.frame.unit, node, once))
        return self.inside(loops=(*self.frame.loops, LoopId(len(self.trace.loops) - 1)))

    def spot(self, node: ast.AST) -> Spot:
        """Place of a node in the source being walked."""
        return self.frame.unit.spot(node)

    def event(self, kind: str, node: ast.AST, value: Value, detail: str = "", other: Value = NOTHING) -> None:
        """Record one event here and now."""
        at, seq, spot = self.frame, len(self.trace.events), self.spot(node)
        event = Event(kind, seq, spot, value, at.loops, at.stack, at.dormant, at.no_grad, detail, other)
        self.trace.add(event)


@dataclass(frozen=True)
class Call:
    """A call with its arguments evaluated."""

    node: ast.Call
    name: str  # last part of what is called
    receiver: Value  # what a method is called on
    args: list[Value]
    kwargs: dict[str, Value]
    dotted: str = ""  # full name of what is called, where it belongs to a library

    @property
    def given(self) -> list[Value]:
        """All arguments."""
        return [*self.args, *self.kwargs.values()]

    @property
    def first(self) -> Value:
        """The first positional argument, where there is one."""
        return self.args[0] if self.args else NOTHING

    @property
    def module(self) -> Value:
        """The data or object that a method is called on; nothing where that is a library."""
        return NOTHING if isinstance(self.receiver.ref, External) else self.receiver

    @property
    def on_data(self) -> bool:
        """Whether it is a method of data or of an object, as `x.float()` is."""
        return isinstance(self.node.func, ast.Attribute) and not isinstance(self.receiver.ref, External)

    @property
    def operands(self) -> list[Value]:
        """The positional arguments, after what a method is called on."""
        return self.args if isinstance(self.receiver.ref, External) else [self.receiver, *self.args]

    @cached_property
    def whole(self) -> Value:
        """Everything that the result may be made of."""
        return union(*map(v.flat, [self.module, *self.given]))


EXPRESSIONS: dict[type[ast.expr], Callable[[Walk, Any], Value]] = {}
STATEMENTS: dict[type[ast.stmt], Callable[[Walk, Any], str | None]] = {}
#: What calls into libraries mean, by last name; None where a model cannot tell. The empty name stands for all others.
MODELS: dict[str, Callable[[Walk, Call], Value | None]] = {}
_F = TypeVar("_F", bound=Callable[..., Any])


def _fills(table: dict[Any, Any], keys: Iterable[Any]) -> Callable[[_F], _F]:
    def register(function: _F) -> _F:
        table.update(dict.fromkeys(keys, function))
        return function

    return register


def expression(*kinds: type[ast.expr]) -> Callable[[_F], _F]:
    """The function evaluates these kinds of expression."""
    return _fills(EXPRESSIONS, kinds)


def statement(*kinds: type[ast.stmt]) -> Callable[[_F], _F]:
    """The function walks these kinds of statement."""
    return _fills(STATEMENTS, kinds)


def models(names: str) -> Callable[[_F], _F]:
    """The function says what calls of these names mean."""
    return _fills(MODELS, names.split(" "))


def evaluate(walk: Walk, node: ast.expr | None) -> Value:
    """Abstract value of an expression."""
    if node is None:
        return NOTHING
    walk.trace.steps += 1
    handler = EXPRESSIONS.get(type(node))
    if handler is None:
        return union(*[evaluate(walk, c) for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)])
    return handler(walk, node)


def execute(walk: Walk, body: list[ast.stmt]) -> str | None:
    """Walk statements in order; returns how the block ends where that is certain.

    What is nested too deeply to follow, or too long, becomes a problem, not an exception.
    """
    for node in body:
        if walk.trace.steps > MAX_STEPS:
            walk.trace.problem("too-long", walk.spot(node))
            return "return"
        handler = STATEMENTS.get(type(node))
        try:
            ends = handler(walk, node) if handler is not None else None
        except RecursionError:
            walk.trace.problem("too-deep", walk.spot(node))
            continue
        if ends is not None:
            return ends
    return None


def truth(value: Value) -> bool | None:
    """Truth of a value where it is a known constant."""
    return None if value.const is MISSING else bool(value.const)


def is_optimizer(value: Value) -> bool:
    """Whether a value is an optimiser."""
    return isinstance(value.ref, v.Instance) and value.ref.kind == "optimizer"

"""State shared by the parts of the walk: where it is, what it has seen, and how it records events."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, Elements, Scope, Spot, Value
from regrow.challenge.audit.flow.events import Event
from regrow.challenge.audit.source.unit import Unit

#: Words that, on a data path or a name, say validation or training.
VAL_WORD = re.compile(r"(?i)(^|[^a-z])(val|valid|validation|heldout|held_out)([^a-z]|$)")
TRAIN_WORD = re.compile(r"(?i)(^|[^a-z])train(ing)?([^a-z]|$)")
VAL_NAME = re.compile(
    r"^(val|validation)_?(tok\w*|stream|np|data_np|ids|seqs?|tokens\w*)$|^(valid|eval|heldout)_tokens\w*$"
)


class Machine:
    """Counters, scopes and the event list of one walk.

    Args:
        environment: values of environment variables that the submission's own run commands set; a variable
        set to
            several values maps to None (unknown).
        logs: lines that the submission's logs hold, stripped, each after a newline.
        max_steps: most expressions evaluated before the walk stops with a problem.
        proven: names whose default the logs prove not to decide a branch.
        every_branch: take no environment variable for its default.
    """

    def __init__(
        self,
        environment: dict[str, str | None] | None = None,
        logs: str = "",
        max_steps: int = 250_000,
        proven: frozenset[str] = frozenset(),
        every_branch: bool = False,
    ) -> None:
        self.environment = environment or {}
        self.logs = logs
        self.everything = ""
        self.ran: dict[int, bool] = {}
        self.max_steps = max_steps
        self.every_branch = every_branch
        self.steps = 0
        self.events: list[Event] = []
        self.problems: list[tuple[str, str, int]] = []
        self.unit: Unit = Unit("", "", "", ast.Module([], []))
        self.scope = Scope({})
        self.targets: frozenset[str] = frozenset()
        self.returns: list[Value] = []
        self.yields: list[Value] = []
        self.loops: tuple[int, ...] = ()
        self.loop_count = 0
        self.replays = 0
        self.loop_info: dict[int, tuple[Unit, ast.AST]] = {}
        self.once: set[int] = set()
        self.stack: tuple[str, ...] = ()
        self.call_nodes: list[int] = []
        self.dormant = 0
        self.no_grad = 0
        self.here: Spot | None = None
        self.modules: dict[str, Scope] = {}
        self.by_module: dict[str, Unit] = {}
        self.class_stack: list[Any] = []
        self.called: set[int] = set()
        self.assigned: dict[int, set[str]] = {}
        self.target_cache: dict[int, frozenset[str]] = {}
        self.positions: set[int] = set()
        self.restless: set[str] = set(proven)
        self.proven = proven
        self.properties: set[int] = set()
        self.statics: set[int] = set()
        self.class_methods: set[int] = set()
        self.quiet_functions: set[int] = set()
        self.defaults: dict[int, Value] = {}
        self.globals_declared: frozenset[str] = frozenset()
        self.memo: dict[Any, tuple[Value, int, int, int, int]] = {}
        self.gradient: list[Value] = []
        self.stepped = False
        self.function_node: ast.AST | None = None
        self.discarded: set[int] = set()
        self.definitions: dict[int, dict[str, set[str]]] = {}
        self.sites: dict[int, Spot] = {}
        self.site_loops: dict[int, frozenset[int]] = {}
        self.site_inside: dict[int, bool] = {}
        self.counts_bytes: dict[int, bool] = {}
        self.hooked: set[str] = set()

    def prescan(self, tree: ast.Module) -> None:
        """Find attributes and globals that are set more than once: they are no constants."""
        stores: Counter[str] = Counter()
        idle = self._idle_stores(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                stores[node.attr] += id(node) not in idle
            elif isinstance(node, ast.Global):
                self.restless.update(node.names)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
                if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
                    stores[str(node.args[1].value)] += 2
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") == "setdefault"
                and len(node.args) == 2
            ):
                name, value = node.args
                if (
                    isinstance(name, ast.Constant)
                    and isinstance(value, ast.Constant)
                    and "environ" in ast.dump(node.func)
                ):
                    self.environment.setdefault(str(name.value), str(value.value))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                target = node.targets[0]
                if (
                    isinstance(target.slice, ast.Constant)
                    and isinstance(node.value, ast.Constant)
                    and getattr(target.value, "attr", "") == "environ"
                ):
                    self.environment.setdefault(str(target.slice.value), str(node.value.value))
        self.restless.update(name for name, count in stores.items() if count > 1)

    def _idle_stores(self, tree: ast.Module) -> set[int]:
        """Stores that change no setting: under a test of the same setting, or where a variable that is set is missing.

        Returns:
            Ids of the syntax nodes.
        """
        asks = {
            f.name
            for f in ast.walk(tree)
            if isinstance(f, ast.FunctionDef)
            and len(f.body) == 1
            and isinstance(f.body[0], ast.Return)
            and "not in os.environ" in ast.unparse(f.body[0])
        }
        idle: set[int] = set()
        for node in ast.walk(tree):
            if not isinstance(node, ast.If):
                continue
            test = node.test
            missing = isinstance(test, ast.Call) and getattr(test.func, "id", "") in asks
            missing = missing or "not in os.environ" in ast.unparse(test)
            constants = [n.value for n in ast.walk(test) if isinstance(n, ast.Constant)]
            known = missing and any(
                isinstance(c, str) and self.environment.get(c) is not None for c in constants
            )
            tested = {n.attr for n in ast.walk(test) if isinstance(n, ast.Attribute)}
            for step in node.body:
                sets = (
                    isinstance(step, ast.Assign)
                    and isinstance(step.value, ast.Constant)
                    and step.value.value is True
                )
                stored = [
                    n for n in ast.walk(step) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
                ]
                idle.update(id(n) for n in stored if known or (sets and n.attr in tested))
        return idle

    def problem(self, what: str, node: ast.AST) -> None:
        """Note that a part of the source was not followed."""
        entry = (what, self.unit.name, getattr(node, "lineno", 0))
        if entry not in self.problems and len(self.problems) < 20:
            self.problems.append(entry)

    def spot(self, node: ast.AST) -> Spot:
        """Place of a node in the unit being walked."""
        return Spot(self.unit.name, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))

    def event(
        self, kind: str, node: ast.AST, value: Value, detail: str = "", other: Value | None = None
    ) -> None:
        """Record one event here and now."""
        if len(self.events) < 20_000:
            self.events.append(
                Event(
                    kind,
                    len(self.events),
                    self.spot(node),
                    value,
                    self.loops,
                    self.stack,
                    self.dormant > 0,
                    self.no_grad > 0,
                    detail,
                    other,
                )
            )

    def truth(self, value: Value) -> bool | None:
        """Truth of a value where it is a known constant."""
        if value.const is not MISSING:
            return bool(value.const)
        return None

    def element(self, value: Value) -> Value:
        """What iterating over a value gives."""
        ref = value.ref
        if isinstance(ref, Elements):
            if ref.kind == "dict":
                return v.NOTHING if ref.keyed is None else Value(ref.rest.tags & v.TOK)
            return ref.summary()
        if ref is not None:
            return Value(value.tags, MISSING, ref, value.cuts, value.losses, value.loops, value.why)
        return value.plain()

"""Walks a program as it would run, on abstract values.

Nothing is executed. Each statement transforms what is known of each name; calls are followed into the functions,
classes and sibling modules of the submission; what libraries do is described in `library`. The walk leaves a list of
events, in program order, which the rules judge. Branches that the default settings (or the run commands of the README)
do not take are walked too, but their events are marked dormant. Every part is bounded, and says so where a bound bites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regrow.challenge.audit.flow import expressions, library, subscripts
from regrow.challenge.audit.flow.call import call_function
from regrow.challenge.audit.flow.constants import settings_of
from regrow.challenge.audit.flow.domain import ClassDef, Function, Instance, Scope, Value
from regrow.challenge.audit.flow.state import Facts, Frame, Heap, Trace, Walk
from regrow.challenge.audit.flow.statements import module_scope
from regrow.challenge.audit.source.unit import Unit

#: The rooms that fill the tables.
FILLED_BY = (expressions, subscripts, library)


def follow(
    units: Sequence[Unit],
    environment: Mapping[str, str | None],
    logs: str = "",
    proven: frozenset[str] = frozenset(),
    every_branch: bool = False,
) -> Trace:
    """Walk every entry unit, then every function that nothing called (as dormant).

    Args:
        units: the sources that the script reaches, entries first.
        environment: environment variables as logs and run commands show them; None where they disagree.
        logs: lines that the submission's logs hold, stripped, each after a newline.
        proven: names whose default the logs prove not to decide a branch.
        every_branch: take no environment variable for its default.
    """
    restless, known = settings_of(units, environment)
    facts = Facts(tuple(units), logs, proven, restless | proven, every_branch)
    trace, heap = Trace(), Heap(known)
    for role in ("entry", "reached"):
        for unit in units:
            if unit.role == role:
                walk = Walk(facts, Frame(unit, Scope({})), trace, heap)
                module_scope(walk, unit, "__main__" if role == "entry" else unit.module)
    for unit in units:
        if unit.role != "aside":
            _walk_uncalled(Walk(facts, Frame(unit, Scope({}), dormant=True), trace, heap))
    return trace


def _walk_uncalled(walk: Walk) -> None:
    unit, called = walk.frame.unit, walk.heap.called
    scope = module_scope(walk, unit, unit.module)
    for value in list(scope.names.values()):
        ref = value.ref
        if isinstance(ref, Function) and ref.unit is unit and ref.node not in called:
            call_function(walk, ref, [], None)
        elif isinstance(ref, ClassDef) and ref.scope.parent is scope:
            instance = Value(ref=Instance(ref))
            for method in list(ref.scope.names.values()):
                if isinstance(method.ref, Function) and method.ref.node not in called:
                    call_function(walk, method.ref, [instance], None)

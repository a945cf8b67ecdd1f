"""Which names and slices of a function hold the target: evidence from how they are used, not from their names.

A value is the target of a function when it is the second argument of a cross-entropy, the index that picks one
probability out of a row, the one-step-ahead slice of a stream, or the token that extends a context's hash.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_NAMED = re.compile(
    r"^(tgt|target|targets|label|labels|gold|truth|y|yb|ys|y_batch|y_flat|y_true|y_cpu|y_np|nxt|next_tok\w*"
    r"|next_id\w*|actual\w*)$|^(tgt|target|gold|label)s?_|_(tgt|target|targets|gold|label|labels|y)$"
    r"|_(tgt|target|label)s?_"
)
_NOT_NAMED = re.compile(
    r"target_(bytes|mb|len|length|lr|rank|size|step|sparsity|names?|modules?|layers?|device|dtype|kl)|n_?targets?|num_"
)
_BEFORE = re.compile(r"(?i)stride|ctx_?(len|end|size)|context_?(len|end|size)|scored|score_(start|from)")
_VIEW = frozenset(
    "reshape view flatten long int to cpu cuda numpy contiguous clone detach squeeze unsqueeze astype copy "
    "tolist item ravel expand type pin_memory transpose flip".split()
)
_CROSS = {"cross_entropy", "nll_loss", "CrossEntropyLoss", "fused_ce", "softcapped_cross_entropy"}


def named_target(name: str) -> bool:
    """Whether a name by itself says 'target'. Only a hint: it counts together with where the data comes from."""
    return bool(_NAMED.search(name)) and not _NOT_NAMED.search(name)


def name_of(node: ast.AST) -> str:
    """The last name of what is indexed or called: `b` of `a.b[0](x)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def names_in(node: ast.AST | None, stored: bool = False) -> Iterator[str]:
    """Every name in an expression or statement; only those that are set, where asked for."""
    for child in ast.walk(node) if node is not None else ():
        if isinstance(child, ast.Name) and (not stored or isinstance(child.ctx, ast.Store)):
            yield child.id


@dataclass(frozen=True)
class Body:
    """A function's own text, and what it shows of its names."""

    node: FunctionNode

    @cached_property
    def targets(self) -> frozenset[str]:
        """Local names that the function's own uses show to be the target."""
        return target_names(self.node)

    @cached_property
    def positions(self) -> frozenset[ast.Subscript]:
        """Subscripts that read the target."""
        return target_positions(self.node)

    @cached_property
    def globals(self) -> frozenset[str]:
        """Names that it declares global or nonlocal."""
        found: set[str] = set()
        queue: list[ast.AST] = [] if isinstance(self.node, ast.Lambda) else [*self.node.body]
        while queue:
            node = queue.pop()
            if isinstance(node, ast.Global | ast.Nonlocal):
                found.update(node.names)
            elif not isinstance(node, FunctionNode):
                queue += ast.iter_child_nodes(node)
        return frozenset(found)

    @cached_property
    def definitions(self) -> dict[str, set[str]]:
        """For each name, the names in the expressions that are assigned to it."""
        found: dict[str, set[str]] = defaultdict(set)
        for step in ast.walk(self.node):
            if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
                found[step.targets[0].id].update(names_in(step.value))
        return found

    @cached_property
    def built(self) -> frozenset[str]:
        """Names of objects that the function itself makes of a class."""
        return frozenset(
            t.id
            for step in ast.walk(self.node)
            if isinstance(step, ast.Assign) and any(map(_constructs, ast.walk(step.value)))
            for t in step.targets
            if isinstance(t, ast.Name)
        )

    @cached_property
    def deleted(self) -> frozenset[str]:
        """Names that it deletes."""
        return frozenset(
            t.id
            for step in ast.walk(self.node)
            if isinstance(step, ast.Delete)
            for t in step.targets
            if isinstance(t, ast.Name)
        )


def ends_before_score(body: Body | None, index: ast.expr) -> bool:
    """Whether a slice keeps only what lies before the scored part of a window: `[a:start_of_score]`."""
    part = _last_part(index)
    if not isinstance(part, ast.Slice) or part.upper is None:
        return False
    names = set(names_in(part.upper))
    for _ in range(2):
        names |= {n for name in names for n in (body.definitions.get(name, ()) if body else ())}
    return any(_BEFORE.search(name) for name in names)


def _constructs(node: ast.AST) -> bool:
    name = name_of(node.func) if isinstance(node, ast.Call) else ""
    return name[:1].isupper() and name not in ("DDP", "DistributedDataParallel")


def slice_role(index: ast.expr) -> str:
    """`ahead`: the stream one step on (targets); `behind`: the stream without its last token, or an earlier token."""
    part = _last_part(index)
    if isinstance(part, ast.Slice):
        lower, upper = part.lower, part.upper
        if _is_number(lower, 1):
            return "ahead"
        if _plus_one(lower) and (
            upper is None or _plus_one(upper) or isinstance(upper, ast.Constant | ast.BinOp)
        ):
            return "ahead"
        return "behind" if isinstance(upper, ast.UnaryOp) and _is_number(upper.operand, 1) else ""
    if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub):
        return "behind"
    return "ahead" if _plus_one(part) else ""


def _last_part(index: ast.expr) -> ast.expr:
    return index.elts[-1] if isinstance(index, ast.Tuple) and index.elts else index


def _parts(index: ast.expr) -> list[ast.expr]:
    return index.elts if isinstance(index, ast.Tuple) else [index]


def _is_number(node: ast.AST | None, number: int) -> bool:
    return isinstance(node, ast.Constant) and node.value == number


def _plus_one(node: ast.expr | None) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and (_is_number(node.right, 1) or _is_number(node.left, 1))
    )


def _root(node: ast.expr) -> str | None:
    """The local name that an expression is a mere view of."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEW:
            node = node.func.value
        elif (
            isinstance(node, ast.Call)
            and node.args
            and name_of(node.func) in ("int", "asarray", "ascontiguousarray", "as_tensor")
        ):
            node = node.args[0]
        elif (
            isinstance(node, ast.Subscript)
            and not _shifted(node.slice)
            and (_reshaping(node.slice) or _picked(node))
        ):
            node = node.value
        else:
            return None
    return node.id


def _picked(node: ast.Subscript) -> bool:
    """An array of targets thinned by a mask; a stream of tokens indexed by position is no array of targets."""
    base = node.value
    while isinstance(base, ast.Subscript):
        base = base.value
    return isinstance(base, ast.Name) and not re.search(
        r"val|stream|tok|data|corpus|seq|ids|text|hist", base.id
    )


def _reshaping(index: ast.expr) -> bool:
    """All of an array, in another shape: `a[None]`, `a[:, None]`."""
    return all(
        (isinstance(p, ast.Constant) and (p.value is None or p.value is Ellipsis))
        or (isinstance(p, ast.Slice) and p.lower is p.upper is p.step is None)
        for p in _parts(index)
    )


def _shifted(index: ast.expr) -> bool:
    """The stream one step on, `chunk[1:]`: the target is this view, not the stream it is cut from."""
    last = _last_part(index)
    return isinstance(last, ast.Slice) and isinstance(last.lower, ast.Constant | ast.BinOp)


def target_names(node: ast.AST) -> frozenset[str]:
    """Local names of a function (or module) that its own uses show to be the target."""
    found: set[str | None] = set()
    views: dict[str, str] = {}
    masked: dict[str, list[tuple[str, ast.expr]]] = defaultdict(list)
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            name = name_of(child.func) if isinstance(child.func, ast.Name | ast.Attribute) else ""
            if (name in _CROSS or name == "take_along_dim") and len(child.args) > 1:
                found.add(_root(child.args[1]))
            elif name == "gather" and child.args:
                found.add(_root(child.args[-1]))
            for keyword in child.keywords:
                if (name in _CROSS and keyword.arg == "target") or (
                    name == "gather" and keyword.arg == "index"
                ):
                    found.add(_root(keyword.value))
        elif isinstance(child, ast.Subscript):
            parts = _parts(child.slice)
            row = len(parts) > 1 and re.search(r"log|prob|dist|lp|nll|soft", name_of(child.value))
            if row and not isinstance(parts[-1], ast.Slice):
                found.add(_root(parts[-1]))
        elif (
            isinstance(child, ast.Assign)
            and len(child.targets) == 1
            and isinstance(child.targets[0], ast.Name)
        ):
            if root := _root(child.value):
                views[child.targets[0].id] = root
            _note_hash(child.targets[0].id, child.value, masked)
    found |= _extending(masked)
    for _ in range(3):
        for alias, root in views.items():
            if alias in found:
                found.add(root)
    return frozenset(n for n in found if n not in (None, "self", "_", "i", "j", "k"))


def target_positions(node: ast.AST) -> frozenset[ast.Subscript]:
    """Subscripts `s[t]` of a function that also reads `s[t - k]`, and not `s[t + 1]`: the token at t is the target."""
    here: dict[tuple[str, str], list[ast.Subscript]] = defaultdict(list)
    before: set[tuple[str, str]] = set()
    ahead: set[tuple[str, str]] = set()
    for child in ast.walk(node):
        if not isinstance(child, ast.Subscript) or not isinstance(child.value, ast.Name | ast.Attribute):
            continue
        base, index = name_of(child.value), child.slice
        if isinstance(index, ast.Name):
            here[base, index.id].append(child)
        elif isinstance(index, ast.BinOp) and isinstance(index.left, ast.Name):
            if isinstance(index.op, ast.Sub) and not _is_number(index.right, 0):
                before.add((base, index.left.id))
            elif isinstance(index.op, ast.Add):
                ahead.add((base, index.left.id))
        elif (
            isinstance(index, ast.Slice)
            and isinstance(index.upper, ast.Name)
            and isinstance(index.lower, ast.BinOp)
        ):
            before.add((base, index.upper.id))
    return frozenset(s for name, reads in here.items() if name in before - ahead for s in reads)


def _note_hash(name: str, value: ast.expr, masked: dict[str, list[tuple[str, ast.expr]]]) -> None:
    """Remember `key = reduce(H)` and `key = reduce(H ^ f(t))`: both reductions of the same H."""
    while True:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _VIEW:
            value = value.func.value
        elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitAnd | ast.Mod):
            value = value.left
        else:
            break
    if isinstance(value, ast.Name):
        masked[value.id].append((name, value))
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitXor | ast.Add):
        left = value.left
        while isinstance(left, ast.Subscript) or (
            isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult)
        ):
            left = left.value if isinstance(left, ast.Subscript) else left.left
        if isinstance(left, ast.Name):
            masked[left.id].append((name, value.right))


def _extending(masked: dict[str, list[tuple[str, ast.expr]]]) -> set[str]:
    """Tokens that extend a hash H which is itself also used as a key: H is the context, so the token is the target."""
    found: set[str] = set()
    for name, uses in masked.items():
        others = [(key, value) for key, value in uses if key != name]
        extended = [v for _, v in others if not (isinstance(v, ast.Name) and v.id == name)]
        if len(extended) < len(others):
            tokens = (token for value in extended for token in names_in(value))
            found.update(t for t in tokens if re.search(r"t(o?k|gt)|tgt|target|y|next|gold|label", t))
    return found

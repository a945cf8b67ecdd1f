"""Which names and slices of a function hold the target: evidence from how they are used, not from their names.

A value is the target of a function when it is the second argument of a cross-entropy, the index that picks one
probability out of a row, the one-step-ahead slice of a stream, or the token that extends a context's hash.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from regrow.challenge.audit.source.syntax import (
    FunctionNode,
    assigned,
    is_call,
    is_constant,
    name_of,
    names_in,
    whole_of,
)

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
_COPIES = ("int", "asarray", "ascontiguousarray", "as_tensor")
_STREAM = re.compile(r"val|stream|tok|data|corpus|seq|ids|text|hist")
_CROSS = {"cross_entropy", "nll_loss", "CrossEntropyLoss", "fused_ce", "softcapped_cross_entropy"}


def named_target(name: str) -> bool:
    """Whether a name by itself says 'target'. Only a hint: it counts together with where the data comes from."""
    return bool(_NAMED.search(name)) and not _NOT_NAMED.search(name)


@dataclass(frozen=True)
class Body:
    """A function's own text, and what it shows of its names."""

    node: FunctionNode

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of it."""
        return tuple(ast.walk(self.node))

    @cached_property
    def targets(self) -> frozenset[str]:
        """Local names that the function's own uses show to be the target."""
        return target_names(self.nodes)

    @cached_property
    def positions(self) -> frozenset[ast.Subscript]:
        """Subscripts that read the target."""
        return target_positions(self.nodes)

    @cached_property
    def globals(self) -> frozenset[str]:
        """Names that it declares global or nonlocal, functions inside it left out."""
        found: set[str] = set()
        declares = any(isinstance(n, ast.Global | ast.Nonlocal) for n in self.nodes)
        queue = list(ast.iter_child_nodes(self.node)) if declares else []
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
        for step, target in assigned(self.nodes, ast.Name):
            found[name_of(target)].update(names_in(step.value))
        return found

    @cached_property
    def built(self) -> frozenset[str]:
        """Names of objects that the function itself makes of a class."""
        steps = (n for n in self.nodes if isinstance(n, ast.Assign))
        made = (step for step in steps if any(map(_constructs, ast.walk(step.value))))
        return frozenset(t.id for step in made for t in step.targets if isinstance(t, ast.Name))

    @cached_property
    def deleted(self) -> frozenset[str]:
        """Names that it deletes."""
        steps = (n for n in self.nodes if isinstance(n, ast.Delete))
        return frozenset(t.id for step in steps for t in step.targets if isinstance(t, ast.Name))


def ends_before_score(body: Body | None, index: ast.expr) -> bool:
    """Whether a slice keeps only what lies before the scored part of a window: `[a:start_of_score]`."""
    part = _parts(index)[-1]
    names = set(names_in(part.upper)) if isinstance(part, ast.Slice) else set()
    for _ in range(2):
        names |= {n for name in names for n in (body.definitions.get(name, ()) if body else ())}
    return any(_BEFORE.search(name) for name in names)


def _constructs(node: ast.AST) -> bool:
    name = name_of(node.func) if isinstance(node, ast.Call) else ""
    return name[:1].isupper() and name not in ("DDP", "DistributedDataParallel")


def slice_role(index: ast.expr) -> str:
    """`ahead`: the stream one step on (targets); `behind`: the stream without its last token, or an earlier token."""
    match _parts(index)[-1]:
        case ast.Slice(lower=ast.Constant(value=1)):
            return "ahead"
        case ast.Slice(lower=lower, upper=None | ast.Constant() | ast.BinOp()) if _plus_one(lower):
            return "ahead"
        case ast.Slice(upper=ast.UnaryOp(operand=ast.Constant(value=1))) | ast.BinOp(op=ast.Sub()):
            return "behind"
        case part:
            return "ahead" if _plus_one(part) else ""


def _parts(index: ast.expr) -> list[ast.expr]:
    return index.elts if isinstance(index, ast.Tuple) and index.elts else [index]


def _plus_one(node: ast.expr | None) -> bool:
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) else ()
    return any(is_constant(side, 1) for side in sides)


def _root(node: ast.expr) -> str | None:
    """The local name that an expression is a mere view of."""
    while True:
        match node:
            case ast.Name(id=name):
                return name
            case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in _VIEW:
                node = inner
            case ast.Call(args=[first, *_]) if is_call(node, *_COPIES):
                node = first
            case ast.Subscript(value=inner) if _same_tokens(node):
                node = inner
            case _:
                return None


def _same_tokens(node: ast.Subscript) -> bool:
    """All of an array in another shape, `a[:, None]`, or an array of targets thinned by a mask.

    A stream of tokens indexed by position is no array of targets; of the stream one step on, `chunk[1:]`, the target
    is this view, not the stream it is cut from.
    """
    parts, base = _parts(node.slice), whole_of(node)
    if isinstance(parts[-1], ast.Slice) and isinstance(parts[-1].lower, ast.Constant | ast.BinOp):
        return False
    thinned = isinstance(base, ast.Name) and not _STREAM.search(base.id)
    return thinned or all(
        is_constant(p, None, Ellipsis) or (isinstance(p, ast.Slice) and p.lower is p.upper is p.step is None)
        for p in parts
    )


def target_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Local names of a function that its own uses show to be the target."""
    found: set[str | None] = set()
    views: dict[str, str | None] = {}
    hashes: dict[str, list[tuple[str, ast.expr]]] = defaultdict(list)
    for child in nodes:
        match child:
            case ast.Call(args=args, keywords=keywords):
                name = name_of(child.func)
                word = "target" if name in _CROSS else "index" if name == "gather" else ""
                found.update(_root(k.value) for k in keywords if word and k.arg == word)
                if name in _CROSS or name == "take_along_dim":
                    found.update(map(_root, args[1:2]))
                elif name == "gather":
                    found.update(map(_root, args[-1:]))
            case ast.Subscript(value=base, slice=ast.Tuple(elts=[_, *_, last])) if not isinstance(
                last, ast.Slice
            ):
                if re.search(r"log|prob|dist|lp|nll|soft", name_of(base)):
                    found.add(_root(last))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                views[name] = _root(value) or views.get(name)
                context, more = _hashed(value)
                hashes[context].append((name, more))
    found |= _extending(hashes)
    for _ in range(3):
        for alias, root in views.items():
            if alias in found:
                found.add(root)
    return frozenset(n for n in found if n not in (None, "self", "_", "i", "j", "k"))


def target_positions(nodes: Iterable[ast.AST]) -> frozenset[ast.Subscript]:
    """Subscripts `s[t]` of a function that also reads `s[t - k]`, and not `s[t + 1]`: the token at t is the target."""
    here: dict[tuple[str, str], list[ast.Subscript]] = defaultdict(list)
    before: set[tuple[str, str]] = set()
    ahead: set[tuple[str, str]] = set()
    for child in nodes:
        if isinstance(child, ast.Subscript) and isinstance(child.value, ast.Name | ast.Attribute):
            base = name_of(child.value)
            match child.slice:
                case ast.Name(id=name):
                    here[base, name].append(child)
                case ast.BinOp(op=ast.Add(), left=ast.Name(id=name)):
                    ahead.add((base, name))
                case ast.BinOp(op=ast.Sub(), left=ast.Name(id=name), right=by) if not is_constant(by, 0):
                    before.add((base, name))
                case ast.Slice(lower=ast.BinOp(), upper=ast.Name(id=name)):
                    before.add((base, name))
    return frozenset(s for name in before - ahead for s in here.get(name, ()))


def _hashed(value: ast.expr) -> tuple[str, ast.expr]:
    """H and nothing more of `reduce(H)`, H and f(t) of `reduce(H ^ f(t))`; no name where it is neither."""
    while True:
        match value:
            case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in _VIEW:
                value = inner
            case ast.BinOp(op=ast.BitAnd() | ast.Mod(), left=inner):
                value = inner
            case ast.BinOp(op=ast.BitXor() | ast.Add(), left=left, right=more):
                while True:
                    match left:
                        case ast.Subscript(value=inner) | ast.BinOp(op=ast.Mult(), left=inner):
                            left = inner
                        case _:
                            return left.id if isinstance(left, ast.Name) else "", more
            case _:
                return value.id if isinstance(value, ast.Name) else "", value


def _extending(hashes: dict[str, list[tuple[str, ast.expr]]]) -> set[str]:
    """Tokens that extend a hash H which is itself also used as a key: H is the context, so the token is the target."""
    found: set[str] = set()
    for name, uses in hashes.items():
        others = [value for key, value in uses if name and key != name]
        extended = [value for value in others if not (isinstance(value, ast.Name) and value.id == name)]
        if len(extended) < len(others):
            tokens = (token for value in extended for token in names_in(value))
            found.update(t for t in tokens if re.search(r"t(o?k|gt)|tgt|target|y|next|gold|label", t))
    return found

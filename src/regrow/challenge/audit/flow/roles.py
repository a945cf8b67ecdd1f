"""Which names of a function hold the target: evidence from how they are used, not from what they are called.

A value is the target of a function when it is the second argument of a cross-entropy, the index that picks
one probability out of a row, the one-step-ahead slice of a stream, or the token that extends a context's
hash.
"""

from __future__ import annotations

import ast
import re

_NAMED = re.compile(
    r"^(tgt|target|targets|label|labels|gold|truth|y|yb|ys|y_batch|y_flat|y_true|y_cpu|y_np|nxt|next_tok\w*|next_id\w*|actual\w*)$"
    r"|^(tgt|target|gold|label)s?_|_(tgt|target|targets|gold|label|labels|y)$|_(tgt|target|label)s?_"
)
_NOT_NAMED = re.compile(
    r"target_(bytes|mb|len|length|lr|rank|size|step|sparsity|names?|modules?|layers?|device|dtype|kl)|n_?targets?|num_"
)
_VIEW = frozenset(
    "reshape view flatten long int to cpu cuda numpy contiguous clone detach squeeze unsqueeze astype copy "
    "tolist item ravel expand type pin_memory transpose flip".split()
)
_CROSS = {"cross_entropy", "nll_loss", "CrossEntropyLoss", "fused_ce", "softcapped_cross_entropy"}


def named_target(name: str) -> bool:
    """Whether a name by itself says 'target'. Only a hint: it counts together with where the data comes
    from."""
    return bool(_NAMED.search(name)) and not _NOT_NAMED.search(name)


def _root(node: ast.expr) -> str | None:
    """The local name that an expression is a mere view of."""
    while True:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEW:
            node = node.func.value
        elif (
            isinstance(node, ast.Call)
            and node.args
            and _last(node.func) in ("int", "asarray", "ascontiguousarray", "as_tensor")
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


def _picked(node: ast.Subscript) -> bool:
    """An array of targets thinned by a mask; a stream of tokens indexed by position is no array of
    targets."""
    base = node.value
    while isinstance(base, ast.Subscript):
        base = base.value
    return isinstance(base, ast.Name) and not re.search(
        r"val|stream|tok|data|corpus|seq|ids|text|hist", base.id
    )


def _reshaping(index: ast.expr) -> bool:
    """All of an array, in another shape: `a[None]`, `a[:, None]`."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    return all(
        (isinstance(p, ast.Constant) and (p.value is None or p.value is Ellipsis))
        or (isinstance(p, ast.Slice) and p.lower is p.upper is p.step is None)
        for p in parts
    )


def _shifted(index: ast.expr) -> bool:
    """The stream one step on, `chunk[1:]`: the target is this view, not the stream it is cut from."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    last = parts[-1] if parts else index
    return isinstance(last, ast.Slice) and isinstance(last.lower, ast.Constant | ast.BinOp)


def _last(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def target_names(node: ast.AST) -> frozenset[str]:
    """Local names of a function (or module) that its own uses show to be the target."""
    found: set[str] = set()
    views: dict[str, str] = {}
    keys: dict[str, set[str]] = {}
    masked: dict[str, list[tuple[str, ast.expr]]] = {}
    for child in ast.walk(node):
        if isinstance(child, ast.Call):
            name = _last(child.func)
            if name in _CROSS and len(child.args) > 1:
                _add(found, _root(child.args[1]))
            elif name == "gather" and child.args:
                _add(found, _root(child.args[-1]))
            elif name == "take_along_dim" and len(child.args) > 1:
                _add(found, _root(child.args[1]))
            for keyword in child.keywords:
                if (name in _CROSS and keyword.arg == "target") or (
                    name == "gather" and keyword.arg == "index"
                ):
                    _add(found, _root(keyword.value))
        elif (
            isinstance(child, ast.Subscript)
            and isinstance(child.slice, ast.Tuple)
            and len(child.slice.elts) >= 2
        ):
            base = _last_name(child.value)
            if re.search(r"log|prob|dist|lp|nll|soft", base) and not isinstance(
                child.slice.elts[-1], ast.Slice
            ):
                _add(found, _root(child.slice.elts[-1]))
        elif (
            isinstance(child, ast.Assign)
            and len(child.targets) == 1
            and isinstance(child.targets[0], ast.Name)
        ):
            root = _root(child.value)
            if root:
                views[child.targets[0].id] = root
            _note_hash(child, keys, masked)
    found.update(_extending(masked))
    for _ in range(3):
        for alias, root in views.items():
            if alias in found:
                found.add(root)
    return frozenset(n for n in found if n not in ("self", "_", "i", "j", "k"))


def target_positions(node: ast.AST) -> frozenset[int]:
    """Subscripts `s[t]` of a function that also reads `s[t - k]`, and not `s[t + 1]`: the token at t is the
    target.

    Returned as ids of the syntax nodes.
    """
    here: dict[tuple[str, str], list[int]] = {}
    before: set[tuple[str, str]] = set()
    ahead: set[tuple[str, str]] = set()
    for child in ast.walk(node):
        if not isinstance(child, ast.Subscript) or not isinstance(child.value, ast.Name | ast.Attribute):
            continue
        base, index = _last_name(child.value), child.slice
        if isinstance(index, ast.Name):
            here.setdefault((base, index.id), []).append(id(child))
        elif isinstance(index, ast.BinOp) and isinstance(index.left, ast.Name):
            name = (base, index.left.id)
            if isinstance(index.op, ast.Sub) and not (
                isinstance(index.right, ast.Constant) and index.right.value == 0
            ):
                before.add(name)
            elif isinstance(index.op, ast.Add):
                ahead.add(name)
        elif (
            isinstance(index, ast.Slice)
            and isinstance(index.upper, ast.Name)
            and isinstance(index.lower, ast.BinOp)
        ):
            before.add((base, index.upper.id))
    return frozenset(i for name, ids in here.items() if name in before and name not in ahead for i in ids)


def _add(found: set[str], name: str | None) -> None:
    if name:
        found.add(name)


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _note_hash(
    node: ast.Assign, keys: dict[str, set[str]], masked: dict[str, list[tuple[str, ast.expr]]]
) -> None:
    """Remember `key = reduce(H)` and `key = reduce(H ^ f(t))`: both reductions of the same H."""
    target = node.targets[0]
    assert isinstance(target, ast.Name)
    value: ast.expr = node.value
    while True:
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _VIEW:
            value = value.func.value
        elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitAnd | ast.Mod):
            value = value.left
        else:
            break
    if isinstance(value, ast.Name):
        masked.setdefault(value.id, []).append((target.id, value))
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitXor | ast.Add):
        left = _hash_name(value.left)
        if left:
            masked.setdefault(left, []).append((target.id, value.right))


def _hash_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Subscript) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)):
        node = node.value if isinstance(node, ast.Subscript) else node.left
    return node.id if isinstance(node, ast.Name) else None


def _extending(masked: dict[str, list[tuple[str, ast.expr]]]) -> set[str]:
    """Tokens that extend a hash H which is itself also used as a key: H is the context, so the token is the
    target."""
    found: set[str] = set()
    for name, uses in masked.items():
        plain = [
            key for key, value in uses if isinstance(value, ast.Name) and value.id == name and key != name
        ]
        if not plain:
            continue
        for key, value in uses:
            if (isinstance(value, ast.Name) and value.id == name) or key == name:
                continue
            tokens = [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
            found.update(t for t in tokens if re.search(r"t(o?k|gt)|tgt|target|y|next|gold|label", t))
    return found

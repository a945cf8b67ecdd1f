"""Evaluates constant expressions, so that layers of source are opened without running the script.

Many submissions are one line: `exec(lzma.decompress(base64.b85decode("...")))`. Literals, concatenation, a fixed list
of pure decoders, files of the submission's own folder and straight-line helper functions have a value; everything else
is `Unknown`. Output and steps are bounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regrow.challenge.audit.source.decoders import (
    DECODERS,
    LZMA_CONSTANTS,
    MAX_OUTPUT_BYTES,
    Bomb,
    Unknown,
    made_length,
)
from regrow.challenge.audit.source.text import decode

#: For one expression: evaluation steps, bytes made on the way, bytes of a file that is read.
MAX_STEPS = 60_000
MAX_MADE = 8 * MAX_OUTPUT_BYTES
MAX_READ_BYTES = 20_000_000

_BOUNDED_METHODS = frozenset(
    "decode encode strip lstrip rstrip replace join translate split splitlines format lower upper hex "
    "removeprefix removesuffix maketrans swapcase with_name with_suffix".split()
)
_AS_IT_IS = ("compile", "textwrap.dedent", "memoryview", "io.BytesIO", "io.StringIO")
_OF_PATH = ("parent", "name", "stem")
_OF_WHOLE: dict[type, Callable[[int, int], int]] = {
    ast.BitXor: operator.xor, ast.Sub: operator.sub, ast.Mod: operator.mod, ast.BitAnd: operator.and_,
}  # fmt: skip


class Evaluator:
    """Evaluates constant expressions of one module, with the names that its own constants give.

    Args:
        tree: the module.
        path: where the module is; `__file__` inside it, and the folder that `open` may read.
        root: no file outside this folder is read.
        siblings: trees of the other modules of the folder, by module name, for decoders that live there.
    """

    def __init__(self, tree: ast.Module, path: Path, root: Path, siblings: Mapping[str, ast.Module]) -> None:
        self.path, self.root, self.siblings = path, root, siblings
        self.steps = self.made = 0
        self.names: dict[str, ast.expr | str | ast.FunctionDef] = {}
        self._busy: set[str] = set()
        self._collect(tree.body)

    def _collect(self, body: list[ast.stmt]) -> None:
        for node in body:
            match node:
                case ast.Import():
                    for alias in node.names:
                        self.names[alias.asname or alias.name.split(".")[0]] = alias.name
                case ast.ImportFrom(module=str(module)):
                    for alias in node.names:
                        self._import(module, alias)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.names[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self.names[name] = value
                case ast.AugAssign(target=ast.Name(id=name)):
                    old = self.names.get(name)
                    if isinstance(old, ast.expr):
                        self.names[name] = ast.copy_location(ast.BinOp(old, node.op, node.value), node)
                case ast.FunctionDef():
                    self.names[node.name] = node
                    self._collect([n for n in node.body if not isinstance(n, ast.Return)])
                case ast.With():
                    for item in node.items:
                        if isinstance(item.optional_vars, ast.Name):
                            self.names[item.optional_vars.id] = item.context_expr
                    self._collect(node.body)
                case ast.Try() | ast.If():
                    self._collect(node.body)

    def _import(self, module: str, alias: ast.alias) -> None:
        sibling = self.siblings.get(module.rsplit(".", 1)[-1])
        name = alias.asname or alias.name
        if sibling is None:
            self.names[name] = f"{module}.{alias.name}"
            return
        for node in sibling.body:
            if isinstance(node, ast.FunctionDef) and node.name == alias.name:
                for key, value in Evaluator(sibling, self.path, self.root, {}).names.items():
                    self.names.setdefault(key, value)
                self.names[name] = node
            elif isinstance(node, ast.Assign) and alias.name in [getattr(t, "id", "") for t in node.targets]:
                self.names[name] = node.value

    def evaluate(self, node: ast.expr) -> Any:
        """The constant that an expression denotes.

        Raises:
            Unknown: it denotes none, or a decoder refused its input. Bomb: it is too large.
        """
        self.steps = self.made = 0
        try:
            return self._eval(node, {})
        except (Unknown, Bomb):
            raise
        except Exception as error:
            raise Unknown(str(error)) from error

    def _dotted(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                value = self.names.get(name)
                return value if isinstance(value, str) else name
            case ast.Attribute(value=owner, attr=attr):
                return f"{self._dotted(owner)}.{attr}"
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=module), *_]):
                return str(module)
        return "?"

    def _eval(self, node: ast.AST, local: dict[str, Any]) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Unknown
        value = self._value(node, local)
        if isinstance(value, str | bytes | list) and not isinstance(node, ast.Constant | ast.Name):
            self.made += len(value) * (16 if isinstance(value, list) else 1)
            if self.made > MAX_MADE:
                raise Bomb
        return value

    def _value(self, node: ast.AST, local: dict[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name, local)
            case ast.BinOp(left=left, op=op, right=right):
                return _operation(op, self._eval(left, local), self._eval(right, local))
            case ast.JoinedStr(values=values):
                return "".join(str(self._eval(v, local)) for v in values)
            case ast.FormattedValue(value=value):
                return self._eval(value, local)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return [self._eval(e, local) for e in elements]
            case ast.Dict(keys=keys, values=values):
                pairs = [(k, v) for k, v in zip(keys, values, strict=True) if k]
                return {self._eval(k, local): self._eval(v, local) for k, v in pairs}
            case ast.Subscript(value=value, slice=index):
                return self._eval(value, local)[self._eval(index, local)]
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*[None if p is None else self._eval(p, local) for p in (lower, upper, step)])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._eval(operand, local)
            case (
                ast.ListComp(elt=element, generators=[one]) | ast.GeneratorExp(elt=element, generators=[one])
            ):
                if one.ifs or not isinstance(one.target, ast.Name):
                    raise Unknown
                name = one.target.id
                return [self._eval(element, {**local, name: item}) for item in self._eval(one.iter, local)]
            case ast.Attribute():
                return self._attribute(node, local)
            case ast.Call():
                return self._call(node, local)
        raise Unknown

    def _name(self, name: str, local: dict[str, Any]) -> Any:
        if name in local:
            return local[name]
        if name == "__file__":
            return str(self.path)
        value = self.names.get(name)
        if isinstance(value, ast.FunctionDef):
            return lambda *args: self._function(value, list(args), {})
        if isinstance(value, ast.expr):
            if name in self._busy:
                raise Unknown
            self._busy.add(name)
            try:
                return self._eval(value, {})
            finally:
                self._busy.discard(name)
        if name in DECODERS:
            return DECODERS[name]
        raise Unknown

    def _attribute(self, node: ast.Attribute, local: dict[str, Any]) -> Any:
        if node.attr in LZMA_CONSTANTS:
            return LZMA_CONSTANTS[node.attr]
        if (dotted := self._dotted(node)) in DECODERS:
            return DECODERS[dotted]
        if node.attr in _OF_PATH:
            return str(getattr(Path(str(self._eval(node.value, local))), node.attr))
        raise Unknown

    def _call(self, node: ast.Call, local: dict[str, Any]) -> Any:
        func, dotted = node.func, self._dotted(node.func)
        if dotted in ("open", "io.open"):
            return ("file", str(self._eval(node.args[0], local)))
        args = [self._eval(a, local) for a in node.args if not isinstance(a, ast.Starred)]
        kwargs = {k.arg: self._eval(k.value, local) for k in node.keywords if k.arg}
        if dotted in _AS_IT_IS:
            return args[0]
        if dotted in ("Path", "pathlib.Path", "os.path.abspath", "os.path.realpath"):
            return str(Path(*[str(a) for a in args]))
        if dotted == "os.path.join":
            return "/".join(str(a) for a in args)
        if dotted == "os.path.dirname":
            return str(Path(str(args[0])).parent)
        if dotted in DECODERS:
            return DECODERS[dotted](*args, **kwargs)
        if isinstance(func, ast.Name):
            callee = local.get(func.id, self.names.get(func.id))
            if isinstance(callee, ast.FunctionDef):
                return self._function(callee, args, kwargs)
            if isinstance(callee, ast.Lambda):
                bound = dict(zip([a.arg for a in callee.args.args], args, strict=False))
                return self._eval(callee.body, bound)
            if callable(callee):
                return callee(*args)
        if isinstance(func, ast.Attribute):
            return self._method(func, args, kwargs, local)
        raise Unknown

    def _method(
        self, func: ast.Attribute, args: list[Any], kwargs: dict[str, Any], local: dict[str, Any]
    ) -> Any:
        owner = self._eval(func.value, local)
        if func.attr in ("read", "read_bytes", "read_text", "getvalue"):
            if isinstance(owner, bytes):
                return owner
            data = self.read(owner[1] if isinstance(owner, tuple) else str(owner))
            binary = func.attr == "read_bytes" or "b" in ast.unparse(func.value)[-6:]  # open(..., "rb")
            return data if binary else decode(data, python=True)[0]
        if func.attr in ("resolve", "absolute", "expanduser"):
            return owner
        if func.attr in ("joinpath", "with_name") and isinstance(owner, str):
            return str(getattr(Path(owner), func.attr)(*args))
        if func.attr in _BOUNDED_METHODS and isinstance(owner, str | bytes):
            if made_length(owner, func.attr, args) > MAX_OUTPUT_BYTES:
                raise Bomb
            return getattr(owner, func.attr)(*args, **kwargs)
        raise Unknown

    def _function(self, node: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What a straight-line function returns."""
        if node.name in self._busy:
            raise Unknown
        self._busy.add(node.name)
        local = dict(zip([a.arg for a in node.args.args], args, strict=False)) | kwargs
        try:
            for step in node.body:
                match step:
                    case ast.Return(value=ast.expr() as value):
                        return self._eval(value, local)
                    case ast.Assign(targets=[ast.Name(id=name), *_], value=value):
                        local[name] = self._eval(value, local)
                    case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
                        pass
                    case _:
                        raise Unknown
        finally:
            self._busy.discard(node.name)
        raise Unknown

    def read(self, name: str) -> bytes:
        """Bytes of a file of the submission's own folder; anything else is Unknown."""
        try:
            path = (self.path.parent / name).resolve()
            inside = path.is_relative_to(self.root.resolve()) and path.is_file()
            if inside and path.stat().st_size <= MAX_READ_BYTES:
                return path.read_bytes()
        except (OSError, RuntimeError, ValueError):
            pass
        raise Unknown


def _operation(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add):
        if not isinstance(left, int) and len(left) + len(right) > MAX_OUTPUT_BYTES:
            raise Bomb
        return left + right
    whole = isinstance(left, int) and isinstance(right, int)
    if isinstance(op, ast.Mult) and not whole:
        size = len(left) * right if isinstance(right, int) else len(right) * left
        if size > MAX_OUTPUT_BYTES:
            raise Bomb
        return left * right
    if isinstance(op, ast.Div) and isinstance(left, str) and isinstance(right, str):
        return left.rstrip("/") + "/" + right
    if whole and type(op) in _OF_WHOLE:
        return _OF_WHOLE[type(op)](left, right)
    raise Unknown

"""Evaluates constant expressions, so that layers of source are opened without running the script.

Many submissions are one line: `exec(lzma.decompress(base64.b85decode("...")))`. Literals, concatenation, a fixed list
of pure decoders, files of the submission's own folder and straight-line helper functions have a value; everything else
is `Unknown`. Output and steps are bounded.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrow.challenge.audit.source.decoders import DECODERS, LZMA_CONSTANTS, MAX_OUTPUT_BYTES, Bomb, Unknown

#: Most evaluation steps for one expression.
MAX_STEPS = 60_000

_BOUNDED_METHODS = frozenset(
    "decode encode strip lstrip rstrip replace join translate split splitlines format lower upper hex "
    "removeprefix removesuffix maketrans swapcase with_name with_suffix".split()
)


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
        self.steps = 0
        self.names: dict[str, ast.expr | str | ast.FunctionDef | ast.Lambda] = {}
        self._busy: set[str] = set()
        self._collect(tree.body)

    def _collect(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.names[alias.asname or alias.name.split(".")[0]] = alias.name
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self._import(node.module, alias)
            elif (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                self.names[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                self.names[node.target.id] = node.value
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                old = self.names.get(node.target.id)
                if isinstance(old, ast.expr):
                    joined = ast.BinOp(old, node.op, node.value)
                    self.names[node.target.id] = ast.copy_location(joined, node)
            elif isinstance(node, ast.FunctionDef):
                self.names[node.name] = node
                self._collect([n for n in node.body if not isinstance(n, ast.Return)])
            elif isinstance(node, ast.With):
                for item in node.items:
                    if isinstance(item.optional_vars, ast.Name):
                        self.names[item.optional_vars.id] = item.context_expr
                self._collect(node.body)
            elif isinstance(node, ast.Try | ast.If):
                self._collect(node.body)

    def _import(self, module: str, alias: ast.alias) -> None:
        sibling = self.siblings.get(module.rsplit(".", 1)[-1])
        name = alias.asname or alias.name
        if sibling is None:
            self.names[name] = f"{module}.{alias.name}"
            return
        for node in sibling.body:
            if isinstance(node, ast.FunctionDef) and node.name == alias.name:
                inner = Evaluator(sibling, self.path, self.root, {})
                for key, value in inner.names.items():
                    self.names.setdefault(key, value)
                self.names[name] = node
            elif isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == alias.name for t in node.targets
            ):
                self.names[name] = node.value

    def evaluate(self, node: ast.expr) -> Any:
        """The constant that an expression denotes. Raises Unknown or Bomb; anything a decoder raises is
        Unknown."""
        self.steps = 0
        try:
            return self._eval(node, {})
        except (Unknown, Bomb):
            raise
        except Exception as error:  # a decoder refused its input: the layer is not readable
            raise Unknown(str(error)) from error

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            value = self.names.get(node.id)
            return value if isinstance(value, str) else node.id
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "__import__"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            return str(node.args[0].value)
        return "?"

    def _eval(self, node: ast.AST, local: dict[str, Any]) -> Any:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Unknown
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._name(node.id, local)
        if isinstance(node, ast.BinOp):
            return self._binop(node, local)
        if isinstance(node, ast.JoinedStr):
            return "".join(str(self._eval(v, local)) for v in node.values)
        if isinstance(node, ast.FormattedValue):
            return self._eval(node.value, local)
        if isinstance(node, ast.Tuple | ast.List):
            return [self._eval(e, local) for e in node.elts]
        if isinstance(node, ast.Dict):
            return {
                self._eval(k, local): self._eval(v, local)
                for k, v in zip(node.keys, node.values, strict=True)
                if k
            }
        if isinstance(node, ast.Subscript):
            return self._eval(node.value, local)[self._eval(node.slice, local)]
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return slice(*[None if p is None else self._eval(p, local) for p in parts])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._eval(node.operand, local)
        if isinstance(node, ast.ListComp | ast.GeneratorExp) and len(node.generators) == 1:
            return self._comprehension(node, local)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, local)
        if isinstance(node, ast.Call):
            return self._call(node, local)
        raise Unknown

    def _name(self, name: str, local: dict[str, Any]) -> Any:
        if name in local:
            return local[name]
        if name == "__file__":
            return str(self.path)
        value = self.names.get(name)
        if isinstance(value, ast.expr):
            if name in self._busy:
                raise Unknown
            self._busy.add(name)
            try:
                return self._eval(value, {})
            finally:
                self._busy.discard(name)
        if isinstance(value, ast.FunctionDef):
            return lambda *a: self._function(value, list(a), {})
        if name in DECODERS:
            return DECODERS[name]
        raise Unknown

    def _binop(self, node: ast.BinOp, local: dict[str, Any]) -> Any:
        left, right = self._eval(node.left, local), self._eval(node.right, local)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Mult) and not (isinstance(left, int) and isinstance(right, int)):
            size = len(left) * right if isinstance(right, int) else len(right) * left
            if size > MAX_OUTPUT_BYTES:
                raise Bomb
            return left * right
        if isinstance(node.op, ast.Div) and isinstance(left, str) and isinstance(right, str):
            return left.rstrip("/") + "/" + right
        if isinstance(left, int) and isinstance(right, int):
            if isinstance(node.op, ast.BitXor):
                return left ^ right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mod) and right:
                return left % right
            if isinstance(node.op, ast.BitAnd):
                return left & right
        raise Unknown

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp, local: dict[str, Any]) -> list[Any]:
        generator = node.generators[0]
        if generator.ifs or not isinstance(generator.target, ast.Name):
            raise Unknown
        inner = dict(local)
        out = []
        for item in self._eval(generator.iter, local):
            inner[generator.target.id] = item
            out.append(self._eval(node.elt, inner))
        return out

    def _attribute(self, node: ast.Attribute, local: dict[str, Any]) -> Any:
        if node.attr in LZMA_CONSTANTS:
            return LZMA_CONSTANTS[node.attr]
        if node.attr in ("parent", "name", "stem") and not isinstance(node.value, ast.Attribute | ast.Name):
            value = self._eval(node.value, local)
            return str(getattr(Path(str(value)), node.attr))
        dotted = self._dotted(node)
        if dotted in DECODERS:
            return DECODERS[dotted]
        if node.attr in ("parent", "name", "stem"):
            return str(getattr(Path(str(self._eval(node.value, local))), node.attr))
        raise Unknown

    def _call(self, node: ast.Call, local: dict[str, Any]) -> Any:
        func = node.func
        dotted = self._dotted(func)
        if dotted in ("open", "io.open"):
            return ("file", str(self._eval(node.args[0], local)))
        args = [self._eval(a, local) for a in node.args if not isinstance(a, ast.Starred)]
        kwargs = {k.arg: self._eval(k.value, local) for k in node.keywords if k.arg}
        if dotted in ("compile", "textwrap.dedent", "memoryview", "io.BytesIO", "io.StringIO"):
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
                return self._eval(
                    callee.body, dict(zip([a.arg for a in callee.args.args], args, strict=False))
                )
            if callable(callee):
                return callee(*args)
            if isinstance(callee, str) and callee in DECODERS:
                return DECODERS[callee](*args, **kwargs)
        if isinstance(func, ast.Attribute):
            return self._method(func, args, kwargs, local)
        raise Unknown

    def _method(
        self, func: ast.Attribute, args: list[Any], kwargs: dict[str, Any], local: dict[str, Any]
    ) -> Any:
        owner = self._eval(func.value, local)
        if func.attr in ("read", "read_bytes", "read_text", "getvalue"):
            binary = func.attr == "read_bytes"
            if isinstance(owner, bytes):
                return owner
            name = owner[1] if isinstance(owner, tuple) else str(owner)
            data = self.read(name)
            mode = "b" in ast.unparse(func.value)[-6:] or binary
            return data if mode else data.decode("utf-8", "replace")
        if func.attr in ("resolve", "absolute", "expanduser"):
            return owner
        if func.attr in ("joinpath", "with_name") and isinstance(owner, str):
            return (
                str(Path(owner).joinpath(*args))
                if func.attr == "joinpath"
                else str(Path(owner).with_name(args[0]))
            )
        if func.attr in _BOUNDED_METHODS and isinstance(owner, str | bytes):
            out = getattr(owner, func.attr)(*args, **kwargs)
            if isinstance(out, str | bytes) and len(out) > MAX_OUTPUT_BYTES:
                raise Bomb
            return out
        raise Unknown

    def _function(self, node: ast.FunctionDef, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if node.name in self._busy:
            raise Unknown
        self._busy.add(node.name)
        local = dict(zip([a.arg for a in node.args.args], args, strict=False)) | kwargs
        try:
            for step in node.body:
                if isinstance(step, ast.Return) and step.value is not None:
                    return self._eval(step.value, local)
                if isinstance(step, ast.Assign) and isinstance(step.targets[0], ast.Name):
                    local[step.targets[0].id] = self._eval(step.value, local)
                elif not (
                    isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)
                ) and not isinstance(step, ast.Import | ast.ImportFrom):
                    raise Unknown
        finally:
            self._busy.discard(node.name)
        raise Unknown

    def read(self, name: str) -> bytes:
        """Bytes of a file of the submission's own folder; anything else is Unknown."""
        raw = Path(name)
        path = raw if raw.is_absolute() else self.path.parent / raw
        try:
            resolved = path.resolve()
            if not resolved.is_relative_to(self.root.resolve()) or not resolved.is_file():
                raise Unknown
            if resolved.stat().st_size > 20_000_000:
                raise Unknown
            return resolved.read_bytes()
        except (OSError, RuntimeError, ValueError):
            raise Unknown from None

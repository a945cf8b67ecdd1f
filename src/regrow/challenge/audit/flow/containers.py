"""Containers, strings, environment variables and small built-ins on abstract values."""

from __future__ import annotations

import ast
import re
from typing import Any

from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.flow.domain import MISSING, NOTHING, Elements, External, Partial, Value
from regrow.challenge.audit.flow.library.learning import Learning


class Containers(Learning):
    """What Python's own types and functions do."""

    def _identity(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if isinstance(node.func, ast.Attribute) and not isinstance(receiver.ref, External):
            return receiver  # data or a module moved, cast or switched: still itself
        if args and args[0].ref is not None and not isinstance(args[0].ref, Elements):
            return args[0]
        if not args and not kwargs and dotted and not receiver.tags:
            return Value(ref=External("builtins.identity"))
        return None

    def _container(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        """A module list, a Counter, a defaultdict: an object whose elements are those given."""
        if args and isinstance(args[0].ref, Elements):
            return args[0]
        if dotted.rsplit(".", 1)[-1] in ("defaultdict", "Counter", "OrderedDict", "dict"):
            return Value(ref=Elements("dict", None, NOTHING, dict(kwargs)))
        if dotted.rsplit(".", 1)[-1] in ("list", "deque"):
            return Value(ref=Elements("list", None, self.element(args[0]) if args else NOTHING))
        return None

    def _append(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if not isinstance(node.func, ast.Attribute) or not args:
            return None
        value = args[-1]
        if node.func.attr in ("extend", "update"):
            value = self.element(value)
        ref = receiver.ref
        if isinstance(ref, Elements):
            if ref.items is not None and node.func.attr in ("append", "add"):
                ref.items.append(value)
                if len(ref.items) > 20 or self.loops:
                    ref.rest, ref.items = ref.summary(), None
            elif ref.items is not None:
                ref.rest, ref.items = (v.join(ref.summary(), value) if ref.items else value), None
            else:
                ref.rest = value if ref.rest is NOTHING else v.join(ref.rest, value)
        if value.tags & v.GOLD and node.func.attr == "append":
            self.score_event(node, value, node.func.value)
        return NOTHING if isinstance(ref, Elements) else None

    def _get(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if dotted.endswith("environ.get") or dotted.endswith("getenv"):
            return self._environment(args)
        if not args:
            return None
        index = args[0]
        ref = receiver.ref
        if index.tags & v.KEYT:
            self.event("lookup", node, index)
            inner = ref.summary() if isinstance(ref, Elements) else receiver
            if isinstance(inner.ref, Elements):
                return inner
            return v.union(inner, index, keep=v.KEEP).with_tags(v.COUNT_T, v.GOLD | v.DIST, self.spot(node))
        if isinstance(ref, Elements):
            if ref.keyed is not None and isinstance(index.const, str) and index.const in ref.keyed:
                return ref.keyed[index.const]
            found = ref.summary()
            return v.join(found, *args[1:2]) if len(args) > 1 else found
        return None

    def _environment(self, args: list[Value]) -> Value:
        name = args[0].const if args else MISSING
        default = args[1] if len(args) > 1 else Value(const=None)
        if name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
            return NOTHING  # set by the launcher
        if isinstance(name, str) and name in self.environment:
            found = self.environment[name]
            if found is None:
                return Value(default.tags)
            tags = self._constant(ast.Constant(found)).tags
            return Value(tags | default.tags, found)
        if self.every_branch and default.const in ("0", "1", "", 0, 1):
            return Value(default.tags)
        return default

    def environment_store(self, target: ast.Subscript, index: Value, value: Value) -> None:
        """`os.environ["X"] = "1"`: the script sets its own switch."""
        if (
            isinstance(target.value, ast.Attribute)
            and target.value.attr == "environ"
            and isinstance(index.const, str)
        ) and isinstance(value.const, str):
            self.environment[index.const] = value.const

    def _convert(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        """int, float, bool, str of constants."""
        if not args or isinstance(node.func, ast.Attribute) or dotted not in ("int", "float", "bool", "str"):
            return None
        const = args[0].const
        if const is MISSING or isinstance(const, type(None)):
            return args[0].plain() if const is MISSING else args[0]
        try:
            kind: Any = {"int": int, "float": float, "bool": bool, "str": str}[dotted]
            return Value(
                args[0].tags,
                kind(
                    const.replace("_", "") if dotted in ("int", "float") and isinstance(const, str) else const
                ),
            )
        except (ValueError, TypeError, OverflowError):
            return NOTHING

    def _float(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        """`float(x)` converts a constant; `x.float()` is x."""
        if isinstance(node.func, ast.Attribute) and not isinstance(receiver.ref, External):
            return receiver
        return self._convert(receiver, args, kwargs, node, dotted)

    def _string_method(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if isinstance(receiver.const, str) and isinstance(node.func, ast.Attribute):
            given = [a.const for a in args]
            if MISSING in given or kwargs:
                return Value(receiver.tags)
            try:
                out = getattr(receiver.const, node.func.attr)(*given)
            except (TypeError, ValueError, AttributeError):
                return Value(receiver.tags)
            if isinstance(out, list):
                return Value(receiver.tags, ref=Elements("list", [Value(0, o) for o in out[:60]]))
            return Value(receiver.tags, out) if isinstance(out, str | bool) else Value(receiver.tags)
        return None

    def _partial(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        return Value(ref=Partial(args[0], args[1:], kwargs)) if args else None

    def _field(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        """`field(default_factory=Settings)` of a dataclass: what the factory makes."""
        factory = kwargs.get("default_factory")
        if factory is not None and factory.ref is not None:
            return self.call(factory, NOTHING, "", [], {}, node)
        return kwargs.get("default")

    def call(
        self,
        callee: Value,
        receiver: Value,
        name: str,
        args: list[Value],
        kwargs: dict[str, Value],
        node: ast.Call,
    ) -> Value:
        """Call a value; defined where calls are."""
        raise NotImplementedError

    def _getattr(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if len(args) >= 2 and isinstance(args[1].const, str) and not isinstance(node.func, ast.Attribute):
            found = self.attribute(args[0], args[1].const, node)
            known = found.ref is not None or found.tags or found.const is not MISSING
            return found if known or len(args) < 3 else v.join(found, args[2])
        return None

    def _zip(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if isinstance(node.func, ast.Attribute):
            return None
        items = [self.element(a) for a in args]
        if dotted == "enumerate":
            items = [NOTHING, *items[:1]]
        return Value(ref=Elements("list", None, Value(ref=Elements("tuple", items))))

    def _items(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        if isinstance(receiver.ref, Elements):
            pair = Value(ref=Elements("tuple", [NOTHING, receiver.ref.summary()]))
            return Value(ref=Elements("list", None, pair))
        return None

    def _range(
        self, receiver: Value, args: list[Value], kwargs: dict[str, Value], node: ast.Call, dotted: str
    ) -> Value | None:
        whole = (
            "arange" in dotted
            and args
            and re.search(
                r"(?i)vocab|(^|\W)V(\W|$)|n_tok",
                ast.unparse(node.args[0] if len(args) == 1 else node.args[1]),
            )
        )
        return (
            Value(v.VOCAB if whole else 0, loops=frozenset().union(*[a.loops for a in args]))
            if args
            else NOTHING
        )

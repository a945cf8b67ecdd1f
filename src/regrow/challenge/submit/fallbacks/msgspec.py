"""Stands in for msgspec: typed structs, strict conversion, JSON, and the little MessagePack that regrow writes."""

from __future__ import annotations

import json as _json
import operator
import struct as _struct
import types
import typing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


class ValidationError(ValueError):
    """A value that is not of its type; the message ends in where it stands, unless that is the whole."""

    def __init__(self, message: str) -> None:
        super().__init__(message.removesuffix(" - at `$`"))


DecodeError = ValueError


@dataclass(frozen=True)
class Meta:
    """Bounds of a number."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None


@dataclass(frozen=True)
class _Factory:
    make: Any


def field(*, default: Any = None, default_factory: Any = None) -> Any:
    """The default of a struct's field."""
    return default if default_factory is None else _Factory(default_factory)


_MISSING = object()


class _Kind(type):
    __options__: dict[str, Any]
    __defaults__: dict[str, Any]
    __struct_fields__: tuple[str, ...]

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        made: Any = super().__new__(mcs, name, bases, space)
        before = dict(getattr(made, "__options__", {}))
        made.__options__ = {**before, **options}
        own = {k: space.get(k, _MISSING) for k in space.get("__annotations__", {})}
        made.__defaults__ = {**getattr(made, "__defaults__", {}), **own}
        made.__struct_fields__ = tuple(made.__defaults__)
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> None:
        super().__init__(name, bases, space)


class Struct(metaclass=_Kind):
    """A record of named, typed fields."""

    def __init__(self, *given: Any, **named: Any) -> None:
        cls = type(self)
        values = dict(zip(cls.__struct_fields__, given, strict=False))
        if len(given) > len(cls.__struct_fields__) or set(named) & set(values):
            raise TypeError(f"{cls.__name__} got too many values")
        values.update(named)
        if unknown := set(values) - set(cls.__struct_fields__):
            raise TypeError(f"{cls.__name__} has no field {sorted(unknown)[0]}")
        for name, default in cls.__defaults__.items():
            if name not in values:
                if default is _MISSING:
                    raise TypeError(f"{cls.__name__} needs {name}")
                copied = type(default)(default) if isinstance(default, dict | list) else default
                values[name] = default.make() if isinstance(default, _Factory) else copied
            object.__setattr__(self, name, values[name])

    def __setattr__(self, name: str, value: Any) -> None:
        if type(self).__options__.get("frozen"):
            raise AttributeError(f"{type(self).__name__} is frozen")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items())
        return f"{type(self).__name__}({inside})"


def _hints(cls: type) -> dict[str, Any]:
    found = typing.get_type_hints(cls, include_extras=True)
    return {name: found[name] for name in cls.__struct_fields__}  # type: ignore[attr-defined]


def _fields(cls: Any) -> tuple[SimpleNamespace, ...]:
    kind = cls if isinstance(cls, type) else type(cls)
    return tuple(SimpleNamespace(name=name, type=hint) for name, hint in _hints(kind).items())


def _replace(value: Any, **changes: Any) -> Any:
    return type(value)(**{**value.__dict__, **changes})


structs = SimpleNamespace(fields=_fields, replace=_replace, asdict=lambda value: dict(value.__dict__))


def to_builtins(value: Any) -> Any:
    """Structs as dicts (as lists where they are array-like), tuples as lists."""
    if isinstance(value, Struct):
        if type(value).__options__.get("array_like"):
            return [to_builtins(v) for v in value.__dict__.values()]
        lean, defaults = type(value).__options__.get("omit_defaults"), type(value).__defaults__
        pairs = ((k, v) for k, v in value.__dict__.items() if not (lean and v == defaults[k]))
        return {k: to_builtins(v) for k, v in pairs}
    if isinstance(value, dict):
        return {k: to_builtins(v) for k, v in value.items()}
    return [to_builtins(v) for v in value] if isinstance(value, list | tuple) else value


def convert(value: Any, kind: Any) -> Any:
    """`value` as `kind`. Raises ValidationError."""
    return _convert(value, kind, "$")


def _wrong(wanted: str, value: Any, where: str) -> ValidationError:
    return ValidationError(f"Expected `{wanted}`, got `{_name(value)}` - at `{where}`")


def _name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return type(value).__name__


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin is typing.Annotated:
        inner, *rest = typing.get_args(kind)
        made = _convert(value, inner, where)
        for meta in rest:
            _bounds(made, meta, where)
        return made
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(kind):
            try:
                return _convert(value, option, where)
            except ValidationError as error:
                last = error
        raise last
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise ValidationError(f"Invalid enum value {value!r} - at `{where}`")
        return value
    if origin in (dict, list):
        return _container(value, origin, typing.get_args(kind), where)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct_of(value, kind, where)
    return _plain(value, kind, where)


def _bounds(value: Any, meta: Meta, where: str) -> None:
    for sign, bound, fine in (
        (">=", meta.ge, operator.ge),
        (">", meta.gt, operator.gt),
        ("<=", meta.le, operator.le),
        ("<", meta.lt, operator.lt),
    ):
        if bound is not None and not fine(value, bound):
            raise ValidationError(f"Expected `{type(value).__name__}` {sign} {bound} - at `{where}`")


def _container(value: Any, origin: type, of: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, dict if origin is dict else list):
        raise _wrong("object" if origin is dict else "array", value, where)
    if isinstance(value, dict):
        return {k: _convert(v, of[1], f"{where}[...]") for k, v in value.items()}
    return [_convert(v, of[0], f"{where}[{i}]") for i, v in enumerate(value)]


def _struct_of(value: Any, kind: Any, where: str) -> Any:
    hints = _hints(kind)
    if kind.__options__.get("array_like"):
        if not isinstance(value, list) or len(value) < len(hints):
            raise _wrong("array", value, where)
        pairs = zip(hints.items(), value, strict=False)
        return kind(*[_convert(v, hint, f"{where}[{i}]") for i, ((_, hint), v) in enumerate(pairs)])
    if not isinstance(value, dict):
        raise _wrong("object", value, where)
    if kind.__options__.get("forbid_unknown_fields") and (extra := set(value) - set(hints)):
        raise ValidationError(f"Object contains unknown field `{sorted(extra)[0]}` - at `{where}`")
    missing = [k for k, d in kind.__defaults__.items() if d is _MISSING and k not in value]
    if missing:
        raise ValidationError(f"Object missing required field `{missing[0]}` - at `{where}`")
    return kind(**{k: _convert(value[k], h, f"{where}.{k}") for k, h in hints.items() if k in value})


def _plain(value: Any, kind: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind in (None, type(None)):
        if value is not None:
            raise _wrong("null", value, where)
    elif type(value) is not kind:
        raise _wrong(kind.__name__, value, where)
    return value


def _decode(data: Any, type: Any = Any) -> Any:
    return convert(_json.loads(data), type)


def _encode(value: Any, enc_hook: Any = None) -> bytes:
    text = _json.dumps(to_builtins(value), separators=(",", ":"), ensure_ascii=False, default=enc_hook)
    return text.encode()


def _format(data: bytes, *, indent: int = 2) -> bytes:
    return _json.dumps(_json.loads(data), indent=indent, ensure_ascii=False).encode()


json = SimpleNamespace(encode=_encode, decode=_decode, format=_format)


def _pack(value: Any) -> bytes:
    if value is None:
        return b"\xc0"
    if isinstance(value, float):
        return b"\xcb" + _struct.pack(">d", value)
    if isinstance(value, int):
        for code, form, limit in ((0xCC, ">B", 1 << 8), (0xCD, ">H", 1 << 16), (0xCE, ">I", 1 << 32)):
            if 0 <= value < 128:
                return bytes([value])
            if 0 <= value < limit:
                return bytes([code]) + _struct.pack(form, value)
        return b"\xcf" + _struct.pack(">Q", value)
    if isinstance(value, bytes) and len(value) < 256:
        return bytes([0xC4, len(value)]) + value
    if isinstance(value, str) and len(text := value.encode()) < 256:
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else bytes([0xD9, len(text)])) + text
    if isinstance(value, list) and len(value) < 16:
        return bytes([0x90 | len(value)]) + b"".join(map(_pack, value))
    raise TypeError(f"cannot pack {type(value).__name__}")


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    try:
        code = data[at]
        if code < 0x80:
            return code, at + 1
        if code == 0xC0:
            return None, at + 1
        if code == 0xCB and len(data) >= at + 9:
            return _struct.unpack(">d", data[at + 1 : at + 9])[0], at + 9
        if code & 0xF0 == 0x90:
            items, at = [], at + 1
            for _ in range(code & 0x0F):
                item, at = _unpack(data, at)
                items.append(item)
            return items, at
        if code in (0xCC, 0xCD, 0xCE, 0xCF):
            size = 1 << code - 0xCC
            value = int.from_bytes(data[at + 1 : at + 1 + size], "big")
            return value, at + 1 + size
        start, size = (at + 1, code & 0x1F) if code & 0xE0 == 0xA0 else (at + 2, data[at + 1])
        whole = bytes(data[start : start + size])
        if len(whole) < size or not (code & 0xE0 == 0xA0 or code in (0xC4, 0xD9)):
            raise DecodeError("damaged")
        return (whole if code == 0xC4 else whole.decode()), start + size
    except IndexError as error:
        raise DecodeError("cut short") from error


def _unpacked(data: bytes, type: Any = Any) -> Any:
    value, at = _unpack(data, 0)
    if at != len(data):
        raise DecodeError("too long")
    return convert(value, type)


msgpack = SimpleNamespace(encode=lambda value: _pack(to_builtins(value)), decode=_unpacked)

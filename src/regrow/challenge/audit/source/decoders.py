"""The decoders that a hidden layer may call, bounded: pure functions of bytes, none of which runs anything."""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any

#: Most bytes that one decoder may produce.
MAX_OUTPUT_BYTES = 8_000_000

LZMA_CONSTANTS = {name: getattr(lzma, name) for name in dir(lzma) if name.startswith(("FORMAT_", "FILTER_"))}


class Unknown(Exception):
    """The expression is not a constant that this evaluator understands."""


class Bomb(Exception):
    """A decoder's output passes `MAX_OUTPUT_BYTES`."""


class MissingDecoder(Unknown):
    """The layer needs a decoder that is not installed here (brotli, zstandard)."""


def _bounded(decoder: Any, data: bytes) -> bytes:
    out = bytes(decoder.decompress(data, MAX_OUTPUT_BYTES + 1))
    if len(out) > MAX_OUTPUT_BYTES:
        raise Bomb
    return out


def _zlib(data: bytes, wbits: int = 15, bufsize: int = 0, **_: Any) -> bytes:
    return _bounded(zlib.decompressobj(wbits), data)


def _lzma(
    data: bytes, format: int = lzma.FORMAT_AUTO, memlimit: int | None = None, filters: Any = None
) -> bytes:
    limit = {} if format == lzma.FORMAT_RAW else {"memlimit": 512_000_000}
    return _bounded(lzma.LZMADecompressor(format=format, filters=filters, **limit), data)


def _optional(package: str) -> Callable[..., bytes]:
    def decode(data: bytes, **_: Any) -> bytes:
        try:
            module = __import__(package)
        except ImportError:
            raise MissingDecoder(package) from None
        if package == "brotli":
            decoder, out = module.Decompressor(), b""
            for start in range(0, len(data), 4096):  # it knows no limit of its own
                out += bytes(decoder.process(data[start : start + 4096]))
                if len(out) > MAX_OUTPUT_BYTES:
                    raise Bomb
        else:
            out = bytes(module.ZstdDecompressor().decompress(data, max_output_size=MAX_OUTPUT_BYTES + 1))
        if len(out) > MAX_OUTPUT_BYTES:
            raise Bomb
        return out

    return decode


_BASE64 = (
    "b85decode", "a85decode", "b64decode", "urlsafe_b64decode", "b32decode", "b16decode", "decodebytes",
)  # fmt: skip
DECODERS: dict[str, Callable[..., Any]] = {
    "lzma.decompress": _lzma,
    "zlib.decompress": _zlib,
    "gzip.decompress": lambda data: _zlib(data, 31),
    "bz2.decompress": lambda data: _bounded(bz2.BZ2Decompressor(), data),
    "brotli.decompress": _optional("brotli"),
    "zstandard.decompress": _optional("zstandard"),
    **{f"base64.{name}": getattr(base64, name) for name in _BASE64},
    "binascii.a2b_base64": binascii.a2b_base64,
    "binascii.unhexlify": binascii.unhexlify,
    "bytes.fromhex": bytes.fromhex,
    "codecs.decode": lambda data, how="utf-8", *a: codecs.decode(data, how),
    "bytes": lambda *a: bytes(*a) if not a or not isinstance(a[0], int) else _refuse(),
    "bytearray": lambda *a: bytes(*a) if not a or not isinstance(a[0], int) else _refuse(),
    "str": lambda *a: str(*a),
    "chr": chr,
    "ord": ord,
    "int": int,
    "len": len,
    "reversed": lambda x: x[::-1],
    "list": list,
    "tuple": tuple,
    "map": lambda f, *xs: [f(*x) for x in zip(*xs, strict=False)],
    "range": lambda *a: range(*a) if len(range(*a)) < 1_000_000 else _refuse(),
}


def _refuse() -> Any:
    raise Unknown


def made_length(owner: Any, method: str, args: list[Any]) -> int:
    """How long a string's method may make it, told before it does."""
    if method == "replace":
        return len(owner) + int(owner.count(args[0])) * len(args[1])
    if method == "join":
        return sum(len(part) + len(owner) for part in args[0])
    if method == "translate" and isinstance(args[0], dict):
        return len(owner) * max((len(v) for v in args[0].values() if isinstance(v, str)), default=1)
    if method == "format":
        widest = max(map(int, re.findall(r"\d{1,18}", owner)), default=0)
        return len(owner) + sum(len(str(a)) for a in args) + widest
    return len(owner) * 2

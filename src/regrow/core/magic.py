"""What a file is, by its first bytes: for sentences about a file that is not what was asked for."""

from __future__ import annotations

import re
from pathlib import Path

HEAD_BYTES = 4096  # what `file_kind` wants to see of a file
STREAM, OLD_STREAM = "a regrow stream", "a regrow stream of version 2"

_KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"RGST", OLD_STREAM),
    (rb"\xaaRG", STREAM),
    (rb"\x1f\x8b", "a gzip file"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "a bzip2 file"),
    (rb"\xfd7zXZ\0", "an xz file"),
    (rb"\x28\xb5\x2f\xfd", "a zstd file"),
    (rb"\x04\"M\x18", "an lz4 file"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive (as PyTorch, Word and EPUB files are)"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"Rar!\x1a\x07", "a rar archive"),
    (rb".{257}ustar", "a tar archive"),
    (rb"\x7fELF", "an ELF program"),
    (rb"MZ.{58}(?=.*PE\0\0)", "a Windows program"),
    (rb"[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe", "a Mach-O or Java program"),
    (rb"\0asm", "a WebAssembly program"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (rb"\xff\xd8\xff", "a JPEG picture"),
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"RIFF....(WEBP|WAVE|AVI )", "a WebP, WAV or AVI file"),
    (rb"OggS\0|fLaC\0|ID3[\2-\4]|\0\0\0.ftyp", "a sound or video file"),
    (rb"%PDF-\d", "a PDF document"),
    (rb"%!PS", "a PostScript document"),
    (rb"\{\\rtf", "an RTF document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (rb"SQLite format 3\0", "an SQLite database"),
    (rb"PAR1([^ -~]|\Z)", "a Parquet file"),
    (rb"ARROW1\0\0|\xff\xff\xff\xff.{3}\0", "an Arrow file"),
    (rb"\x93NUMPY", "a numpy array"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"GGUF[\1-\4]\0", "a GGUF model"),
    (rb".{6}\0\0\{\s*\"", "a safetensors file"),
    (rb"\x80[\2-\5]", "a pickle"),
    (rb"WARC/\d", "a web archive (WARC)"),
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32 text"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text"),
    (rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*(<!doctype html|<html|<head>|<body)", "HTML"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml\s|<svg\s|<!DOCTYPE\s)", "XML"),
    (rb"(\xef\xbb\xbf)?\s*(\[\s*)*(\{\s*\"(?:[^\"\\\n]|\\.)*\"\s*:|\[\s*\"(?:[^\"\\\n]|\\.)*\"\s*(,|\]\s*\Z))", "JSON"),
)  # fmt: skip
_COMPILED = [(re.compile(pattern, re.DOTALL), kind) for pattern, kind in _KINDS]
# Control characters that no text has: all but those that move the cursor, ring the bell or begin an escape.
CONTROL = bytes(set(range(32)) - set(b"\a\b\t\n\v\f\r\x1b"))
MAX_CONTROL = (
    0.02  # share of a text; compressed and compiled files have more, in UTF-16 every second byte is 0
)


def file_kind(head: bytes) -> str | None:
    """The format that a file beginning with `head` has ("a gzip file", "JSON"), or None for one without a mark."""
    return next((kind for pattern, kind in _COMPILED if pattern.match(head)), None)


def wide_encoding(head: bytes) -> str | None:
    """ "UTF-16" or "UTF-32" of a text that begins so, with a byte order mark or with zeros in every other byte."""
    kind = file_kind(head) or ""
    if kind.startswith("UTF-"):
        return kind.removesuffix(" text")
    return "UTF-16" if utf16_order(head) else None


def utf16_order(head: bytes) -> str | None:
    """ "le" or "be" where every other byte is 0, as in UTF-16 of European languages without a byte order mark."""
    half = len(head) // 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    plain = half <= 1 or max(even, odd) <= 0.6 * half or min(even, odd) >= 0.1 * half
    return None if plain else "le" if odd > even else "be"


def describe_bytes(head: bytes) -> str:
    """What a file beginning with `head` seems to be, always some words ("text", "data of no known format")."""
    if not head:
        return "an empty file"
    control = len(head) - len(head.translate(None, CONTROL))
    return file_kind(head) or ("data of no known format" if control > MAX_CONTROL * len(head) else "text")


def head_of(path: Path) -> bytes:
    """The first bytes of a file, as many as tell its kind. Raises OSError."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)

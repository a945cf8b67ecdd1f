"""parameter-golf's `.bin` shards: tokens in files of a fixed form, read and written.

A shard is a header of 256 little-endian 32-bit integers (20240520, version 1, the number of tokens n, zeros) and then n
little-endian 16-bit tokens, so 1024 + 2n bytes in all. Nothing in it says which tokenizer made it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import DataError, readable
from regrow.core.files import atomic_write

MAGIC = 20_240_520
VERSION = 1
HEADER_BYTES = 1024
SHARD_TOKENS = 100_000_000  # tokens of a training shard of the challenge
NAME = re.compile(r"^(?P<stem>.*)_(?P<part>train|val)_(?P<number>\d+)\.bin$")

_AGAIN = "get the file again"


def read_shard(path: Path) -> NDArray[np.uint16]:
    """The tokens of a shard, mapped from the file. Raises DataError, naming file and field, for one that is damaged."""
    with readable(path, _AGAIN), path.open("rb") as file:
        size, head = path.stat().st_size, file.read(12)
    if size < HEADER_BYTES:
        raise DataError(f"{path}: {size} bytes are too few for a shard's header of {HEADER_BYTES}; {_AGAIN}.")
    magic, version, count = (int(value) for value in np.frombuffer(head, "<i4"))
    if magic != MAGIC:
        raise DataError(
            f"{path}: begins with {magic}, not with a shard's magic number {MAGIC}; give shards of token ids, "
            "fineweb_train_*.bin and fineweb_val_*.bin."
        )
    if version != VERSION:
        raise DataError(
            f"{path}: is a shard of version {version}, this regrow reads {VERSION}; get it in that version."
        )
    expected = HEADER_BYTES + 2 * count
    if count < 0 or size != expected:
        how = "cut short" if size < expected else "too long"
        raise DataError(
            f"{path}: its header says {count:,} tokens, which make {expected:,} bytes, but it has {size:,} "
            f"({how}); {_AGAIN}."
        )
    if count == 0:
        return np.empty(0, np.uint16)
    return np.memmap(path, np.dtype("<u2"), "r", HEADER_BYTES, (count,))


def write_shard(path: Path, tokens: NDArray[Any]) -> None:
    """Write `tokens` as a shard in one step. Raises DataError for a token that is not of 16 bits."""
    values = np.asarray(tokens)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < 1 << 16:
        raise DataError(f"{path}: shards hold tokens below 65,536; this vocabulary is larger.")
    header = np.zeros(HEADER_BYTES // 4, "<i4")
    header[:3] = MAGIC, VERSION, len(values)
    with atomic_write(path) as file:
        file.write(header.tobytes())
        file.write(np.ascontiguousarray(values, "<u2").data)


def check_tokens(tokens: NDArray[np.uint16], vocab_size: int, path: Path, first: int = 0) -> None:
    """Raise DataError if a token is not below `vocab_size`. `first`: where in the shard `tokens` begin."""
    if tokens.size and int(tokens.max()) >= vocab_size:
        at = int(np.argmax(tokens >= vocab_size))
        raise DataError(
            f"{path}: token {tokens[at]} at place {first + at:,} is beyond the vocabulary of {vocab_size}; the "
            "shard is damaged or was made with another tokenizer."
        )


def shard_number(path: Path) -> int:
    """The number in a shard's name."""
    found = NAME.match(path.name)
    return int(found["number"]) if found else 0


def find_shards(sources: list[Path]) -> tuple[list[Path], list[Path]]:
    """Training and validation shards among files and folders, in the order of their numbers.

    Raises DataError for a file that is not named as a shard is, a shard named twice, and where either kind is
    missing.
    """
    found: dict[str, list[Path]] = {"train": [], "val": []}
    for source in sources:
        if not source.exists():
            raise DataError(f"{source}: no such file or folder; give shards, or the folder that holds them.")
        for path in sorted(source.glob("*.bin")) if source.is_dir() else [source]:
            match = NAME.match(path.name)
            if match is None and not source.is_dir():
                raise DataError(
                    f"{path}: is not named as a shard is, such as fineweb_train_000000.bin; rename it."
                )
            if match is not None:
                found[match["part"]].append(path)
    for part, paths in found.items():
        if not paths:
            raise DataError(
                f"{sources[0]}: holds no {part} shard; put fineweb_{part}_000000.bin beside the others."
            )
        numbers = [shard_number(path) for path in paths]
        twice = next((path for i, path in enumerate(paths) if numbers.index(numbers[i]) < i), None)
        if twice is not None:
            raise DataError(f"{twice}: two {part} shards have its number; give each once.")
    train, val = (sorted(paths, key=shard_number) for paths in found.values())
    return train, val


def is_shards(source: str) -> bool:
    """Whether a source of `regrow data` is a shard or a folder of shards."""
    place = Path(source)
    if place.is_dir():
        return any(NAME.match(path.name) for path in place.glob("*.bin"))
    return place.suffix == ".bin"

"""Golden streams on this machine: a text becomes the same bytes as on every other, and comes back from theirs.

    python tests/portable.py FOLDER [--write]

FOLDER holds an artifact and a text, and the streams made of them somewhere (`--write`: here). The first line says what
this machine computes with; then a line a comparison. Exit code 1 where a byte differs. Needs what decoding needs.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from numba.core.registry import cpu_target
from numpy._core._multiarray_umath import (  # type: ignore[import-not-found]
    __cpu_dispatch__,
    __cpu_features__,
)

from regrow.predict.codec import CHUNK, Codec
from regrow.predict.lockstep import TOKENS_A_STREAM
from regrow.predict.stream import AdaptiveSettings

# Counts that are forgotten on the way.
SETTINGS = {"fixed": None, "adaptive7": AdaptiveSettings(streams=2, orders=3, tokens=1000)}
READ = ("adaptive",)  # of kind 4: read for ever, written no more
SEVERAL_THREADS = 1024 // CHUNK  # streams from which on the encoder uses them


def machine() -> str:
    """What decides which instructions run here."""
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    numpy = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    return f"{platform.machine()}; numba: {cpu}, {features.count('+')} features; numpy: {' '.join(numpy) or 'baseline'}"


def comparisons(folder: Path) -> Iterator[tuple[str, bool]]:
    """What is compared, and whether it is the same."""
    text = (folder / "text").read_bytes()
    codec = Codec.load(folder / "artifact.safetensors", threads=1)
    for name, settings in SETTINGS.items():
        golden = (folder / f"{name}.rg").read_bytes()
        yield f"{name}: stream", codec.encode(text, settings=settings, always=True).stream == golden
        yield f"{name}: text", codec.decode(golden) == text
    for name in READ:
        if (folder / f"{name}.rg").exists():
            yield f"{name}: text", codec.decode((folder / f"{name}.rg").read_bytes()) == text
    times = -(-SEVERAL_THREADS * TOKENS_A_STREAM // max(1, len(codec.tokenizer.encode(text))))
    two = Codec.load(folder / "artifact.safetensors", threads=2)
    long = codec.encode(text * times, always=True).stream
    yield (
        f"one and two threads: stream of {len(text) * times:,} bytes",
        long == two.encode(text * times, always=True).stream,
    )


def write(folder: Path) -> None:
    """Make the streams."""
    codec, text = Codec.load(folder / "artifact.safetensors"), (folder / "text").read_bytes()
    for name, settings in SETTINGS.items():
        (folder / f"{name}.rg").write_bytes(codec.encode(text, settings=settings, always=True).stream)


def main(folder: Path, *options: str) -> int:
    print(machine(), flush=True)
    if "--write" in options:
        write(folder)
    failed = False
    for what, same in comparisons(folder):
        print(f"  {what} {'same' if same else 'DIFFERENT'}", flush=True)
        failed |= not same
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))

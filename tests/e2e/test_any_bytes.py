"""What is no text like the training text: never more than 16 bytes larger, and back to the byte."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy._core import _multiarray_umath
from tests.e2e.conftest import make_text, run_regrow

from regrow.predict.incompressible import is_incompressible

Bytes = tuple[bytes, int | None]  # and the size that their stream may have, beside that of the rule

RANDOM = np.random.Generator(np.random.PCG64(11)).bytes(100_000)


LIBRARY = Path(_multiarray_umath.__file__).read_bytes()
ELF = LIBRARY[:60_000] + LIBRARY[3_000_000:3_040_000]  # tables, and machine code
GZIP = gzip.compress(LIBRARY[3_000_000:3_250_000], mtime=0)[:100_000]

INPUTS: dict[str, Bytes] = {
    "random": (RANDOM, 100_016),
    "zeros": (bytes(100_000), 128),
    "gzip": (GZIP, None),
    "an ELF program": (ELF, 70_000),
    "random twice": (RANDOM + RANDOM, 102_000),
    "text behind random": (RANDOM + make_text(3, 9000).encode(), 125_000),
    "one byte": (b"\xff", 17),
    "nothing": (b"", 16),
}


@pytest.mark.parametrize(
    ("name", "ttt"),
    [*((name, False) for name in INPUTS), ("random", True), ("zeros", True), ("nothing", True)],
)
def test_any_bytes_come_back_and_are_never_16_bytes_larger(
    run: Path, tmp_path: Path, name: str, ttt: bool
) -> None:
    raw, most = INPUTS[name]
    (tmp_path / "raw").write_bytes(raw)
    how = ["--ttt"] if ttt else []
    made = run_regrow("compress", run, tmp_path / "raw", "-o", tmp_path / "stream", *how)
    assert made.returncode == 0, made.stderr
    size = (tmp_path / "stream").stat().st_size
    assert size <= len(raw) + 16 and (most is None or size <= most), (len(raw), size)
    back = run_regrow("decompress", run, tmp_path / "stream", "-o", tmp_path / "back", *how)
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back").read_bytes() == raw


def test_many_blocks_of_random_bytes_cost_16_bytes_each(run: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(RANDOM)
    stream = subprocess.run(
        [sys.executable, "-m", "regrow", "compress", run, "--block-size", "20000", "-q"],
        stdin=(tmp_path / "raw").open("rb"),
        capture_output=True,
        check=True,
        timeout=240,
    ).stdout
    assert len(stream) <= 100_000 + 5 * 16 + 9


def test_what_lzma_would_pack_is_not_taken_for_random() -> None:
    """Small repetitions, far apart; text between noise; sixteen-bit samples whose low byte is noise."""
    noise = np.random.Generator(np.random.PCG64(5)).bytes(1 << 20)
    loud = np.random.Generator(np.random.PCG64(6)).normal(0, 3000, 1 << 18).astype("<i2").tobytes()
    assert is_incompressible(noise) and is_incompressible(GZIP)
    assert not any(
        map(
            is_incompressible,
            [
                noise + noise[300_000:310_000],
                noise + 3 * make_text(1, 900).encode() + noise[::-1],
                loud,
                b"",
                b"short",
            ],
        )
    )

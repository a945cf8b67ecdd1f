"""macOS and Windows, as far as they can be simulated: what Python lacks there is hidden before regrow is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STREAMS = ROOT / "tests/golden/streams"
EXAMPLE = ROOT / "tests/fixtures/audit/target-in-hash-key/example_good.py"

# Not what libraries ask for because this is Linux all the same (uname, getuid).
_MAC = """
import os
del os.sched_getaffinity
"""
_WINDOWS = (
    _MAC
    + """
import multiprocessing, signal, sys
multiprocessing.set_start_method("spawn")
for module in ("fcntl", "resource", "pwd", "termios"):
    sys.modules[module] = None
for name in ("SIGHUP", "SIGALRM", "alarm", "SIGUSR1", "SIGUSR2"):
    delattr(signal, name)
for name in ("mkfifo", "fork", "killpg"):
    delattr(os, name)
"""
)
PLATFORMS = pytest.mark.parametrize("hidden", [_MAC, _WINDOWS], ids=["macos", "windows"])


def run(hidden: str, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", hidden + code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def commands(*lines: list[object]) -> str:
    words = [[str(word) for word in line] for line in lines]
    return f"\nfrom regrow.cli import main\nfor words in {words!r}:\n    assert main(words) == 0, words\n"


@PLATFORMS
def test_a_text_is_compressed_and_audited(hidden: str, tmp_path: Path) -> None:
    artifact, text = STREAMS / "artifact.safetensors", tmp_path / "a.txt"
    text.write_text("My fellow citizens")
    run(
        hidden,
        commands(
            ["compress", artifact, text, "-o", tmp_path / "a.rg"],
            ["decompress", artifact, tmp_path / "a.rg", "-o", tmp_path / "back"],
            ["audit", EXAMPLE],
        ),
    )
    assert (tmp_path / "back").read_bytes() == text.read_bytes()

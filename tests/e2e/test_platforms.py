"""macOS and Windows, as far as they can be simulated: what Python lacks there is hidden before regrow is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import make_text, tiny_settings

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


@pytest.mark.long
@PLATFORMS
def test_a_network_is_trained_proven_and_told_about(hidden: str, tmp_path: Path) -> None:
    text, data, out = tmp_path / "mine.txt", tmp_path / "data", tmp_path / "run"
    text.write_text(make_text(3, 5000), encoding="utf-8")
    steps = [f"--set=train.{key}" for key in ("max_steps=8", "max_seconds=0", "eval_every=4")]
    run(
        hidden,
        commands(
            ["data", text, "--out", data, "--set", "data.vocab_size=400"],
            [
                "train",
                "--data",
                data,
                "--out",
                out,
                *tiny_settings(),
                "--set",
                "train.checkpoint_seconds=0.01",
            ],
            ["eval", out, "--data", data],
            ["prove", out, "--data", data],
            ["report", out, "-o", tmp_path / "page.html"],
            ["fit", text, "--budget", "300kB", "-o", tmp_path / "model", *steps],
        ),
    )
    for folder in (out, tmp_path / "model"):
        assert json.loads((folder / "result.json").read_text())["proof"]["sha256_match"]
    assert "<html" in (tmp_path / "page.html").read_text()

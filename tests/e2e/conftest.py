"""One tiny run that the end-to-end tests share: made once a worker, through the command line, as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.forks import ForkServer, fork_server

TINY = [
    "data.vocab_size=400", "model.n_layer=2", "model.d_model=64", "model.n_head=2", "model.n_kv_head=1", "model.r=8",
    "model.rope_dims=16", "model.window=32", "memory.max_order=4", "memory.folds=2", "train.seq_len=64",
    "train.batch_tokens=512", "train.max_steps=24", "train.max_seconds=0", "train.compile=off", "train.log_every=4",
    "pack.budget_bytes=400000", "eval.streams=8", "train.closing=0.4",
]  # fmt: skip


def start_regrow(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`regrow ARGUMENTS` as a user starts it."""
    command = [sys.executable, "-m", "regrow", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def run_regrow(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same, in a process forked from one that has imported everything."""
    ended = fork_server().run(*arguments)
    return subprocess.CompletedProcess(
        ["regrow", *map(str, arguments)], ended.codes[0], ended.out[0], ended.err[0]
    )


def run_json(*arguments: object) -> Any:
    """Standard output of a command that must succeed, parsed: exactly one JSON object."""
    done = run_regrow(*arguments, "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tiny_settings() -> list[str]:
    return [part for key in TINY for part in ("--set", key)]


def make_text(seed: int, words: int) -> str:
    """Sentences of invented words that follow each other with some habit, so that there is something to learn."""
    rng = np.random.Generator(np.random.PCG64(seed))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = [
        "".join(rng.choice(letters, size=n))
        for n in np.random.Generator(np.random.PCG64(7)).integers(2, 8, 300)
    ]
    follows = np.random.Generator(np.random.PCG64(8)).integers(0, 300, (300, 4))
    at, out = 0, []
    for i in range(words):
        at = int(rng.integers(0, 300)) if rng.random() < 0.2 else int(follows[at, int(rng.integers(0, 4))])
        out.append(vocabulary[at] + (".\n" if i % 12 == 11 else " "))
    return "".join(out)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(12):
        (folder / f"doc{i:02d}.txt").write_text(make_text(i, 900), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def data(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tiny"
    done = start_regrow("data", corpus, "--out", out, "--set", "data.vocab_size=400")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    done = start_regrow("train", "--data", data, "--out", out, *tiny_settings())
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def server() -> ForkServer:
    """Runs of the command line that start in milliseconds."""
    return fork_server()

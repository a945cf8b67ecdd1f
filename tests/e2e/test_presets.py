"""Presets for other machines take a few steps on this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.conftest import run_regrow

_FEW = (
    "train.batch_tokens=512",
    "train.seq_len=256",
    "train.max_steps=2",
    "train.max_seconds=0",
    "train.compile=off",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["books-cpu", "published", "record"])
def test_a_preset_trains_packs_and_scores(name: str, data: Path, tmp_path: Path) -> None:
    few = [part for key in _FEW for part in ("--set", key)]
    done = run_regrow("train", "--preset", name, "--data", data, "--out", tmp_path / "run", *few)
    assert done.returncode == 0, done.stderr
    scored = run_regrow("eval", tmp_path / "run", "--data", data, "--json")
    assert scored.returncode == 0, scored.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["preset"] == name and result["bytes"]["total"] <= 16_000_000

"""A run with the published cache as its memory: a full distribution all the way, proven by decoding."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.conftest import run_json, run_regrow, tiny_settings

from regrow.artifact.artifact import Artifact
from regrow.ngram.model.hashed_model import HashedModel

HASHED = ("--set", "memory.kind=hashed", "--set", "memory.buckets=[4096,8192,8192]")


@pytest.mark.parametrize("fill", [pytest.param("ahead", marks=pytest.mark.slow), "prequential"])
def test_a_hashed_run_is_packed_loaded_and_proven(fill: str, data: Path, tmp_path: Path) -> None:
    settings = [*tiny_settings(), *HASHED, "--set", f"memory.fill={fill}", "--set", "model.memory_input=0"]
    done = run_regrow("train", "--data", data, "--out", tmp_path, *settings)
    assert done.returncode == 0, done.stderr
    artifact = tmp_path / "artifact.safetensors"
    loaded = Artifact.load(artifact)
    assert isinstance(loaded.memory, HashedModel) and loaded.memory.size_O.tolist() == [4096, 8192, 8192]
    proof = run_json("prove", artifact, "--data", data)
    assert proof["sha256_match"] and proof["max_abs_row_sum_error"] < 1e-6
    found = run_json("inspect", artifact)
    assert found["config"]["memory"]["kind"] == "hashed"
    assert found["counts_sha256"] and found["ledger"]["memory"] > 0


def test_tables_too_large_for_the_budget_are_one_sentence(data: Path, tmp_path: Path) -> None:
    done = run_regrow(
        "train", "--data", data, "--out", tmp_path / "o", *tiny_settings(), *HASHED,
        "--set", "pack.budget_bytes=75000",
    )  # fmt: skip
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "budget_bytes" in done.stderr
    assert not (tmp_path / "o" / "artifact.safetensors").exists()

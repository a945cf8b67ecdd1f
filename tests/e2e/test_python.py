"""The Python functions of the contract take paths as text too."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.conftest import TINY

import regrow
from regrow.core.config.load import apply_overrides
from regrow.core.errors import DataError
from regrow.training.checkpoint import save_checkpoint


def test_every_public_function_takes_a_path_as_text(run: Path, data: Path, tmp_path: Path) -> None:
    config = apply_overrides(regrow.load_preset("demo"), [*TINY, "train.max_steps=2"])
    trained = regrow.train(config, str(data), str(tmp_path / "run"))
    assert (
        trained.artifact.is_file() and regrow.Artifact.load(str(trained.artifact)).config.train.max_steps == 2
    )

    artifact = str(run / "artifact.safetensors")
    text = tmp_path / "text.txt"
    text.write_bytes((data / "val.txt").read_bytes()[:600])
    bpb = regrow.evaluate(artifact, str(text)).bpb.blended
    assert bpb is not None and 0 < bpb < 8 and regrow.evaluate(artifact, str(data)).raw_bytes > 600
    assert regrow.prove(artifact, str(text)).sha256_match
    assert regrow.decompress(artifact, regrow.compress(artifact, b"some words")) == b"some words"
    for runs in (str(run), [str(run), str(trained.folder)]):
        page = regrow.write_report(runs, str(tmp_path / "page.html"))
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert regrow.audit(artifact).verdict


def test_a_checkpoint_of_another_version_is_named(data: Path, tmp_path: Path) -> None:
    config = apply_overrides(regrow.load_preset("demo"), TINY)
    save_checkpoint(tmp_path / "checkpoint", 1, {"step": 1, "teacher": None})
    with pytest.raises(DataError, match="made by another version"):
        regrow.train(config, data, tmp_path, resume=True)

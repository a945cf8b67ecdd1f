"""The Python functions of the contract take paths as text too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.e2e.conftest import TINY

import regrow
from regrow.core.config.load import apply_overrides
from regrow.core.errors import DataError
from regrow.training.checkpoint import save_checkpoint
from regrow.training.log import read_records


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


def test_callbacks_are_told_of_each_log_step_and_of_held_out_text(data: Path, tmp_path: Path) -> None:
    """An object with the two methods, and one that inherits what it does not care about."""

    class Kept:
        def __init__(self) -> None:
            self.steps: list[dict[str, float]] = []
            self.evals: list[dict[str, float]] = []

        def on_step(self, record: Mapping[str, float]) -> None:
            self.steps.append(dict(record))

        def on_eval(self, record: Mapping[str, float]) -> None:
            self.evals.append(dict(record))

    class StepsAlone(regrow.Callback):
        def __init__(self) -> None:
            self.steps = 0

        def on_step(self, record: Mapping[str, float]) -> None:
            self.steps += 1

    config = apply_overrides(
        regrow.load_preset("demo"), [*TINY, "train.max_steps=5", "train.log_every=2", "train.eval_every=2"]
    )
    kept, alone = Kept(), StepsAlone()
    run = regrow.train(config, data, tmp_path / "run", callbacks=[kept, alone])
    lines = [{key: value for key, value in r.items() if key != "run"} for r in read_records(run.folder)]
    assert kept.steps == lines and [r["step"] for r in kept.steps] == [2, 4]
    assert alone.steps == 2
    looked, last = kept.evals  # in the main phase, and at the end
    assert looked == kept.steps[0] and looked["held_out_bpb"] > 0
    assert (last["step"], last["held_out_bpb"]) == (5, run.result.bpb.neural_unquantized)


def test_a_checkpoint_of_another_version_is_named(data: Path, tmp_path: Path) -> None:
    config = apply_overrides(regrow.load_preset("demo"), TINY)
    save_checkpoint(tmp_path / "checkpoint", 1, {"step": 1, "teacher": None})
    with pytest.raises(DataError, match="made by another version"):
        regrow.train(config, data, tmp_path, resume=True)

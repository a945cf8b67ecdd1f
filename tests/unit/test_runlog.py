"""The challenge's log lines: what they say, and that our own audit reads them as it reads the root script's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.challenge.audit.record.logs import read_log
from regrow.core.config.load import apply_overrides, load_preset
from regrow.core.errors import DataError
from regrow.core.results import Bpb, DataFigures, Proof, Result, Seconds
from regrow.training.log import RunLog, is_challenge_text, official_log, read_records

RECORDS = [
    {"step": 50, "tokens": 1, "seconds": 3.0, "loss": 3.21098, "bpb": 1.9},
    {"step": 100, "tokens": 2, "seconds": 6.0, "loss": 2.9, "bpb": 1.7},
]


def result(val_bytes: int = 151_130_000) -> Result:
    """A run that stopped by its time."""
    return Result(
        preset="baseline", seed=42, device="cuda:0", threads=1, world_size=8, torch="2", steps=9912,
        data=DataFigures("fineweb-sp1024", 1, 1, val_bytes, 62_021_631, "ab" * 32),
        bytes={"total": 15_000_000, "budget": 16_000_000, "embeddings": 15_000_000},
        bpb=Bpb(blended=1.25), proof=Proof(1.2504, 10, 64, True, 1e-9, 1.0, 1.0),
        seconds=Seconds(train=600.04, memory_count=12.0, load=2.0, eval=30.0), train_tokens_seen=1,
    )  # fmt: skip


def test_the_lines_are_read_as_the_root_scripts_are(tmp_path: Path) -> None:
    """Seed, sizes, counts, times and the exact figure, where a reviewer's tools look for them."""
    lines = official_log(load_preset("baseline"), RECORDS, result(), code_bytes=130_000)
    assert "step:50/20000 train_loss:3.2110 train_time:3000ms step_avg:60.00ms" in lines
    assert "stopping_early: wallclock_cap train_time:600040ms step:9912/20000" in lines
    path = tmp_path / "train_seed1337.log"
    path.write_text("\n".join(lines))
    log = read_log(path)
    assert log.seed == 1337
    assert [n.value for n in log.totals] == [15_130_000]
    assert [n.value for n in log.code] == [130_000]
    assert [n.value for n in log.model] == [15_000_000]
    assert log.val_tokens is not None and log.val_tokens.value == 62_021_631
    assert log.train_ms is not None and log.train_ms.value == 600_040
    assert log.eval_ms is not None and log.eval_ms.value == 32_000
    exact = next(r for r in log.readings if "exact" in r.label)
    assert exact.bpb == 1.25 and exact.loss == pytest.approx(
        1.25 * 0.6931471806 * 151_130_000 / 62_021_631, abs=1e-7
    )
    assert any(r.bpb == 1.2504 and "proven" in r.label for r in log.readings)


def test_another_text_does_not_look_like_the_challenges() -> None:
    """The line that states the validation set is for that text alone."""
    assert is_challenge_text(151_080_000) and is_challenge_text(151_130_000)
    assert not is_challenge_text(1_269_101)
    lines = official_log(load_preset("baseline"), RECORDS, result(1_269_101), 1)
    assert not any("tokens:62021631" in line for line in lines)
    assert any(line.startswith("held_out_text:fineweb-sp1024 size:1269101") for line in lines)


def test_log_lines_are_an_option_and_do_not_repeat_their_head(tmp_path: Path) -> None:
    """Off: no train.log. On: head and steps as they come, the head once though the run was gone on with."""
    plain = load_preset("demo")
    official = apply_overrides(plain, ["train.log_lines=official"])
    with RunLog(tmp_path / "a", plain, True) as log:
        log.write(RECORDS[0])
    assert not (tmp_path / "a" / "train.log").exists()
    for record in RECORDS:
        with RunLog(tmp_path / "b", official, True) as log:
            log.write(record)
    lines = (tmp_path / "b" / "train.log").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines if line.startswith(("seed:", "step:"))] == [
        "seed:1",
        "step:50/20000",
        "step:100/20000",
    ]


def test_steps_that_were_done_again_count_once(tmp_path: Path) -> None:
    """A run that went on from a checkpoint repeats some; damage is named."""
    again = {**RECORDS[0], "loss": 3.0}
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*RECORDS, again]))
    assert [(r["step"], r["loss"]) for r in read_records(tmp_path)] == [(50, 3.0), (100, 2.9)]
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(DataError, match=r"log\.jsonl: a line of it is no record"):
        read_records(tmp_path)
    with pytest.raises(DataError, match=r"log\.jsonl: cannot be read"):
        read_records(tmp_path / "nowhere")

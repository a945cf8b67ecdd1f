"""The challenge's log lines: what they say, and that our own audit reads them as it reads the root script's."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.challenge.audit.record.logs import parse_log
from regrow.challenge.log_lines import is_challenge_text, log_writers, whole_log
from regrow.core.config.load import apply_overrides, load_preset
from regrow.core.results import Bpb, DataFigures, Proof, Result, Seconds
from regrow.training.log import RunLog

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
    lines = whole_log(load_preset("baseline"), RECORDS, result(), code_bytes=130_000).splitlines()
    assert "step:50/20000 train_loss:3.2110 train_time:3000ms step_avg:60.00ms" in lines
    assert "stopping_early: wallclock_cap train_time:600040ms step:9912/20000" in lines
    path = tmp_path / "train_seed1337.log"
    path.write_text("\n".join(lines))
    log = parse_log(path, path.read_text())
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
    lines = whole_log(load_preset("baseline"), RECORDS, result(1_269_101), 1).splitlines()
    assert not any("tokens:62021631" in line for line in lines)
    assert any(line.startswith("held_out_text:fineweb-sp1024 size:1269101") for line in lines)


def test_log_lines_are_an_option_and_follow_the_run(tmp_path: Path) -> None:
    """Off: no writer. On: head and steps as they come; a resumed run goes on from its step, a new one begins anew."""
    plain = load_preset("demo")
    official = apply_overrides(plain, ["train.log_lines=official"])
    assert log_writers(plain, tmp_path) == []

    def told(*records: dict[str, float]) -> list[str]:
        with RunLog(tmp_path, official, True, log_writers(official, tmp_path)) as log:
            for record in records:
                log.write(record)
        lines = (tmp_path / "train.log").read_text().splitlines()
        return [line.partition(" ")[0] for line in lines if line.startswith(("seed:", "step:"))]

    first, second = "step:50/20000", "step:100/20000"
    assert told(*RECORDS) == ["seed:1", first, second]
    assert told(RECORDS[1]) == ["seed:1", first, second]
    assert told(RECORDS[0]) == ["seed:1", first]

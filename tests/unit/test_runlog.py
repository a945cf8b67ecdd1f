"""The record of a run while it trains, as it is read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.core.errors import DataError
from regrow.training.log import read_records

RECORDS = [
    {"step": 50, "tokens": 1, "seconds": 3.0, "loss": 3.21098, "bpb": 1.9},
    {"step": 100, "tokens": 2, "seconds": 6.0, "loss": 2.9, "bpb": 1.7},
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

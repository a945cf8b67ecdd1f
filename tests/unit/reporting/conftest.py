"""A run's folder made by hand: what a run writes, without the run."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from regrow.core.config.load import apply_overrides, config_toml, load_preset
from regrow.report.excerpt import save_excerpt

MakeRun = Callable[..., Path]


class Cost(NamedTuple):
    """What `evaluation.TokenCost` holds, without torch."""

    token: int
    text: bytes
    mixture: float
    network: float
    memory: float | None
    order: int | None


def result_table(**changes: Any) -> dict[str, Any]:
    """A result.json in which everything was run; `changes` replace top-level keys."""
    table: dict[str, Any] = {
        "schema": 1,
        "preset": "demo",
        "seed": 1,
        "device": "cpu",
        "threads": 2,
        "world_size": 1,
        "torch": "2.13.0+cpu",
        "data": {
            "name": "sotu",
            "train_bytes": 10_927_311,
            "train_tokens": 3_791_044,
            "val_bytes": 1_269_101,
            "val_tokens": 440_693,
            "val_sha256": "201361a9601ef3be" + "0" * 48,
        },
        "bytes": {
            "total": 3_912_377,
            "budget": 4_000_000,
            "adapters": 742_118,
            "embeddings": 228_904,
            "matrices": 655_360,
            "vectors": 4_212,
            "memory": 2_270_009,
            "tokenizer": 4_630,
            "mixer": 2_792,
            "manifest": 4_352,
            "base": 0,
        },
        "bpb": {
            "neural": 1.3214,
            "neural_unquantized": 1.3196,
            "memory": 1.2791,
            "blended": 1.2043,
            "ttt": None,
            "official_bytes": None,
        },
        "proof": {
            "bpb": 1.2048,
            "stream_bytes": 191_127,
            "raw_bytes": 1_269_101,
            "sha256_match": True,
            "max_abs_row_sum_error": 2.2e-16,
            "encode_seconds": 24.1,
            "decode_seconds": 25.6,
            "track": "fixed",
        },
        "seconds": {
            "total": 287.4,
            "train": 170.2,
            "memory_count": 1.9,
            "memory_score": 12.3,
            "pack": 9.4,
            "load": 3.1,
            "eval": 11.8,
        },
        "steps": 812,
        "train_tokens_seen": 3_325_952,
        "tokens_per_second": 19_600.0,
    }
    return table | changes


def log_lines(steps: int = 810, every: int = 10) -> list[str]:
    """A falling curve with some noise, and the mixture's in the last 15 %."""
    lines = []
    for step in range(every, steps + 1, every):
        noise = math.sin(step * 12.9898) * 0.04
        bpb = 1.28 + 2.2 * math.exp(-step / 45) + 0.42 * math.exp(-step / 400) + noise
        record = {"step": step, "tokens": step * 4096, "seconds": step * 0.21, "loss": bpb * 2, "bpb": bpb}
        if step > 0.85 * steps:
            record["blended_bpb"] = bpb - 0.12 + noise / 4
        lines.append(json.dumps(record))
    return lines


EXCERPT = [
    Cost(17, b" the", 0.04, 0.31, 0.02, 6),
    Cost(40, b" Union", 1.4, 4.0, 0.9, 4),
    Cost(90, b" <b>&\"'", 9.1, 8.2, 12.4, 1),
    Cost(3, b"\x00", 14.0, 15.0, 16.0, 1),
    Cost(4, b"\xe2\x80", 3.0, 2.0, 3.5, 2),
    Cost(5, b"\n", 0.2, 0.3, 0.4, 3),
]


class DocumentCost(NamedTuple):
    """What `evaluation.DocumentCost` holds, without torch."""

    bytes: int
    mixture: float
    network: float | None
    memory: float | None
    begins: str


DOCUMENTS = [
    DocumentCost(1000, 1500.0, 1800.0, 1600.0, "Fellow citizens: <b>"),
    DocumentCost(3000, 2700.0, 3300.0, 3000.0, "The year that ends"),
]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A factory of run folders: `make_run("a", bytes=None)`, with log, config and excerpt unless `bare`."""

    def make(
        name: str = "run",
        *,
        log: list[str] | None = None,
        overrides: tuple[str, ...] = (),
        excerpt: list[Cost] | None = None,
        documents: list[DocumentCost] | None = None,
        bare: bool = False,
        **changes: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result_table(**changes)))
        if not bare:
            config = apply_overrides(load_preset("demo"), list(overrides))
            (folder / "config.toml").write_text(config_toml(config))
            (folder / "log.jsonl").write_text("\n".join(log_lines() if log is None else log) + "\n")
            measured = types.SimpleNamespace(
                excerpt=EXCERPT if excerpt is None else excerpt,
                documents=DOCUMENTS if documents is None else documents,
            )
            save_excerpt(folder, measured)
        return folder

    return make

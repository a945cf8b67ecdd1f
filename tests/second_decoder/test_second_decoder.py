"""docs/exact.md is enough: an implementation made from it alone gives the same intervals, and both the golden ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.golden.test_streams_golden import TEXTS
from tests.second_decoder import files, frequencies
from tests.second_decoder.golden_artifact import BOS, CONFIGS, SEED, V, artifact, exact_model, text
from tests.vocabularies import pieces_of

from regrow.artifact.weights import read_weights
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.adaptive.earlier_mixer import EarlierMixer
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.exact.adaptive import AdaptiveStreams, LearningMixer
from regrow.predict.exact.streams import Streams

GOLDEN_FILES = Path(__file__).parents[1] / "golden"
STREAMS, FORMAT_2, READS_RECENT = (GOLDEN_FILES / name for name in ("streams", "format_2", "recent_input"))
GOLDEN = {  # the first of format version 1, the second of 2
    "gate": ("a88a8a4e2a45aec5", "07cd059250b83601"),
    "all seeded, fixed": ("f8f99bc19f5d37b3", "f8f99bc19f5d37b3"),
    "nothing seeded, no cap": ("190cae0f1fddc938", "2b1ec3e6c2d237c3"),
    "hashed": ("0dfa7692976ca871", "67343f2c9e3fc1f2"),
    "memory in the input": ("b08039bc36252be8", "b5e0406e87810265"),
    "recent text in the input": ("f4295a01018bca16", "b6b7cffa942ab25a"),
    "both in the input": ("2202f6fe07fcccd6", "12e4c56e1417d68b"),
    "not tied": ("e9ec930894c8bde3", "b7e56117f097b919"),
    "not tied, both in the input": ("ef2ad464951f1be0", "ada4cdeae2be4339"),
    "hashed, in the input": ("3b59cdebface900c", "e7ee3428dc8ea18b"),
    "network alone": ("1983f89549f3d981", "ddbd910447c9511e"),
}
ADAPTIVE, EARLIER_ADAPTIVE = "c366359e3ff4cf2e", "dcbcd96cc5aed500"


def intervals(name: str, tokens: list[int], version: int) -> NDArray[np.int64]:
    return Streams(exact_model(name, version), 1, chunk=len(tokens)).intervals(np.array([tokens]))[0]


def digest(found: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(found, "<i8").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", CONFIGS)
def test_both_implementations_give_the_golden_intervals(name: str, version: int) -> None:
    config, payloads, memory = artifact(name)
    tokens = text(1003, 48)[1:]
    found = intervals(name, tokens, version)
    stored = read_weights(payloads["weights"], config.model, V, "here")
    weights = frequencies.read(stored, payloads["mixer"], config, SEED, version)
    second_memory: Any = memory
    if isinstance(memory, NgramModel):
        second_memory = frequencies.KneserNey(text(1002, 3000), memory.max_order, V, memory.discounts, BOS)
    starts = frequencies.rows(weights, second_memory, tokens, BOS)
    second = [(row[v], row[v + 1] - row[v]) for row, v in zip(starts, tokens, strict=True)]
    assert found.tolist() == [list(map(int, pair)) for pair in second]
    assert all(row[0] == 0 and row[-1] == 1 << 24 and np.diff(row).min() >= 1 for row in starts)
    assert len({size for _, size in second}) > 20  # rows that differ, or nothing was tested
    assert digest(found) == GOLDEN[name][version - 1]


@pytest.mark.parametrize(
    ("new_mixer", "golden"),
    [
        (lambda: OnlineMixer(3, pieces_of(V), 3, 120), ADAPTIVE),
        (lambda: EarlierMixer(3, V, 3, 120), EARLIER_ADAPTIVE),
    ],
    ids=["present", "of kind 4"],
)
def test_adaptive_intervals_are_golden(new_mixer: Callable[[], LearningMixer], golden: str) -> None:
    tokens_ST = np.array([text(1004 + s, 60)[1:] for s in range(3)])
    assert (
        digest(AdaptiveStreams(exact_model("gate", 1), new_mixer(), chunk=60).intervals(tokens_ST)) == golden
    )


@pytest.mark.parametrize("name", ["stored", "packed", "empty", "blocks"])
def test_golden_streams_are_decoded(name: str) -> None:
    raw = files.Artifact(STREAMS / "artifact.safetensors").blocks((STREAMS / f"{name}.rg").read_bytes())
    assert raw.count(None) == (name == "blocks")  # the adaptive one
    assert TEXTS[name].startswith(b"".join(block for block in raw if block is not None))
    assert name == "blocks" or b"".join(raw) == TEXTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("folder", [STREAMS, FORMAT_2, READS_RECENT], ids=lambda folder: folder.name)
def test_the_golden_text_is_decoded(folder: Path) -> None:
    """About 2,300 tokens in two streams, of which one ends first."""
    raw = files.Artifact(folder / "artifact.safetensors").blocks((folder / "fixed.rg").read_bytes())
    assert raw == [(folder / "text").read_bytes()]


def test_the_second_decoder_is_short() -> None:
    modules = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (files, frequencies)]
    assert sum(bool(line.strip()) for module in modules for line in module.splitlines()) <= 525

"""The bench of scores: ours alone where KenLM's module is missing, both and how far apart where it is there."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.score import SIZES, measure, summary
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Silent
from regrow.ngram.word_model import WordModel

KINDS = {f"{model}, {texts}" for model in ("words", "tokens") for texts in ("lines", "documents")}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("score") / "text.txt"
    path.write_text("".join(f"the {i * i % 97} of {i % 7} and {i % 31}.\n" for i in range(2000)))
    return path


def test_without_kenlm_ours_is_told_alone(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    found = measure(text, None, SIZES["quick"], Silent())
    told = summary(found)
    assert set(told) == KINDS and found["lines"] == 300 and found["text"]["held_out_lines"] == 200
    for speeds in told.values():
        assert speeds["tokens_per_second"] > 0 and speeds["ratio"] is None
    words = {row["texts"]: row["tokens"] for row in found["rows"] if row["model"] == "words"}
    assert words == {"lines": 300 * 7, "documents": 60 * (5 * 6 + 1)}  # words and </s>


def test_beside_kenlm_the_speeds_ratio_and_the_agreement_are_told(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module in KenLM's place, whose every score is 0.7 too low."""

    class Model:
        def __init__(self, path: str) -> None:
            self.model = WordModel.load(path)

        def score(self, sentence: bytes) -> float:
            return self.model.score(sentence) - 0.7

    peer = ModuleType("kenlm")
    peer.__spec__, peer.Model = ModuleSpec("kenlm", None), Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kenlm", peer)
    told = summary(measure(text, text, SIZES["quick"], Silent()))
    assert told["words, lines"]["largest_difference"] == pytest.approx(0.7 / 7, abs=1e-5)
    assert told["words, documents"]["largest_difference"] == pytest.approx(0.7 / 31, abs=1e-5)
    for name, speeds in told.items():
        expected = speeds["tokens_per_second"] / (speeds["peer_tokens_per_second"] or 1)
        assert speeds["ratio"] == (pytest.approx(expected) if name.startswith("words") else None)


def test_text_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--train"):
        measure(None, tmp_path, SIZES["quick"], Silent())
    (tmp_path / "short.txt").write_text("a line\n")
    with pytest.raises(DataError, match=r"short\.txt: has too few lines"):
        measure(tmp_path / "short.txt", None, SIZES["quick"], Silent())

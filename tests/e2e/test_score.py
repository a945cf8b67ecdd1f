"""`regrow ngram build` and `regrow score` as a user runs them: words, bytes and tokens; files, gzip and pipes."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

import regrow
from regrow.cli import main

WORDS = "the cat sat on a mat and saw the dog run home by the old road".split()


def lines_of(seed: int, size: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(9))) for _ in range(size)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines_of(1, 600)) + "\n")
    return path


def scores_of(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_words_become_an_arpa_file_whose_scores_are_those_of_python(text: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "m.arpa.gz", tmp_path / "scores.jsonl"
    assert main(["ngram", "build", str(text), "--words", "--order", "3", "-o", str(model), "--quiet"]) == 0
    asked = [*lines_of(2, 50), "a zebra"]
    packed = tmp_path / "asked.txt.gz"
    packed.write_bytes(gzip.compress("\n".join(asked).encode()))
    assert main(["score", str(model), str(packed), "-o", str(out), "--quiet"]) == 0
    python = regrow.load_ngram(model)
    found = scores_of(out)
    assert [row["line"] for row in found] == list(range(1, 52)) and found[-1]["unknown"] == 1
    for row, sentence in zip(found, asked, strict=True):
        assert row["perplexity"] == pytest.approx(python.perplexity(sentence), rel=1e-4)
        assert row["bytes"] == len(sentence) and row["tokens"] == len(sentence.split()) + 1
    before = out.read_bytes()
    assert (
        main(["score", str(model), str(text), "-o", str(out), "--quiet"]) == 2 and out.read_bytes() == before
    )
    assert main(["ngram", "build", str(text), "--words", "-o", str(text), "-f"]) == 2


@pytest.mark.parametrize("kind", ["--chars", "--bpe"])
def test_tokens_become_an_artifact_that_costs_what_its_evaluation_says(
    text: Path, tmp_path: Path, kind: str
) -> None:
    model, out = tmp_path / "model", tmp_path / "scores.jsonl"
    vocab = ["--vocab", "280"] if kind == "--bpe" else []
    options = ["--order", "4", "--budget", "1MB", "-o", str(model), "--quiet"]
    assert main(["ngram", "build", str(text), kind, *vocab, *options]) == 0
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("\n".join(lines_of(3, 20)))  # short, so that evaluation is one stream
    assert main(["score", str(model), str(held_out), "--by", "document", "-o", str(out), "--quiet"]) == 0
    (row,) = scores_of(out)
    assert row["bpb"] == pytest.approx(regrow.evaluate(model, held_out).bpb.blended, rel=1e-4)
    stream, back = tmp_path / "stream", tmp_path / "back"
    assert main(["compress", str(model), str(held_out), "-o", str(stream), "--quiet"]) == 0
    assert main(["decompress", str(model), str(stream), "-o", str(back), "--quiet"]) == 0
    assert back.read_bytes() == held_out.read_bytes()


def test_json_lines_keep_their_places(text: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "m.arpa", tmp_path / "scores.jsonl"
    assert main(["ngram", "build", str(text), "--words", "-o", str(model), "--quiet"]) == 0
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"body": line}) + "\n" for line in ("the cat", "", "a dog")))
    asked = ["score", str(model), str(rows), "--text-field", "body", "-o", str(out), "--quiet"]
    assert main(asked) == 0
    assert [row["words"] for row in scores_of(out)] == [2, 0, 2]


def test_what_cannot_be_meant_is_a_sentence(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ngram", "build", str(text), "-o", "x"]) == 2
    assert "give --words, --bpe or --chars" in capsys.readouterr().err
    assert main(["ngram", "build", str(text), "--words", "--budget", "1MB", "-o", "x"]) == 2
    assert "--budget" in capsys.readouterr().err and not Path("x").exists()

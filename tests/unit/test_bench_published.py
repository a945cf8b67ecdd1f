"""`regrow bench published`: the score, its sum and the honest form, side by side and never mixed up."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.dated import Found, load
from benchmarks.pages import filled
from benchmarks.published import QUICK, STAND_INS, label, measure
from benchmarks.texts import bench_data
from regrow.cli import main
from regrow.core.progress import Silent


def some_text(seed: int, words: int) -> str:
    """Words of one language whatever the seed, each with habits of what follows it."""
    language, draw = (np.random.Generator(np.random.PCG64(n)) for n in (7, seed))
    vocabulary = ["".join(language.choice(list("aeinorst"), 2 + i % 5)) for i in range(200)]
    follows, at, chosen = language.integers(0, 200, (200, 4)), 0, []
    for _ in range(words):
        at = int(draw.integers(200)) if draw.random() < 0.2 else int(follows[at, draw.integers(4)])
        chosen.append(vocabulary[at])
    return "\n".join(" ".join(chosen[i : i + 12]) for i in range(0, words, 12))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    train, val = folder / "mine.txt", folder / "other.txt"
    train.write_text(some_text(1, 12_000))
    val.write_text(some_text(2, 3_000))
    return train, val


@pytest.fixture(scope="module")
def printed(texts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `regrow bench published:quick --json` prints, run where there is no checkout."""
    stream = io.StringIO()
    arguments = ["bench", "published:quick", "--train", str(texts[0]), "--val", str(texts[1])]
    with contextlib.chdir(tmp_path_factory.mktemp("work")), contextlib.redirect_stdout(stream):
        assert main([*arguments, "--json", "--quiet"]) == 0
    found: dict[str, object] = json.loads(stream.getvalue())
    return found


@pytest.fixture(scope="module")
def result(printed: dict[str, object]) -> Found:
    return load(Path(str(printed["result"])))


def of(result: Found, kind: str) -> list[Found]:
    """Fillings of one kind, in the order they were made."""
    return [filling for filling in result["fillings"] if filling["kind"] == kind]


def test_the_score_falls_and_its_sum_rises_with_counts_of_one_text(result: Found) -> None:
    """Passes over the same text teach nothing, so only a broken score may gain by them."""
    runs = [of(result, "text")[-1], *of(result, "passes")]
    assert len(runs) >= 3
    for name in STAND_INS:
        scores = [r["scores"][name] for r in runs]
        assert all(a["published_bits"] > b["published_bits"] for a, b in itertools.pairwise(scores))
        assert all(a["z_mean"] < b["z_mean"] for a, b in itertools.pairwise(scores))
        assert all(1 < s["z_min"] <= s["z_mean"] <= s["z_max"] < result["vocab_size"] for s in scores)


def test_a_table_of_one_constant_scores_best_and_knows_nothing(result: Found) -> None:
    full = of(result, "constant")[-1]
    assert full["constant"] == 65535 and full["full"] == 1.0
    score = full["scores"]["uniform"]
    others = [f["scores"]["uniform"]["published_bits"] for f in result["fillings"] if f is not full]
    assert score["published_bits"] < min(others)
    assert score["honest_bpb"] == pytest.approx(score["base_bpb"], abs=1e-6)


def test_the_honest_form_is_far_from_the_score_and_near_knowing_nothing(result: Found) -> None:
    last = of(result, "passes")[-1]["scores"]["uniform"]
    assert last["honest_bpb"] > 10 * last["published_bits"]
    assert last["honest_bpb"] == pytest.approx(last["base_bpb"], rel=0.05)


def test_the_stand_in_is_the_exact_memory_of_the_same_text(result: Found) -> None:
    small, whole = of(result, "text")[0], of(result, "text")[-1]
    assert small["exact_bpb"] is not None and whole["exact_bpb"] is not None
    assert whole["exact_bpb"] < small["exact_bpb"] < whole["scores"]["uniform"]["base_bpb"]
    assert whole["scores"]["exact memory"]["base_bpb"] == whole["exact_bpb"]


def test_a_run_repeats_exactly(texts: tuple[Path, Path], result: Found) -> None:
    with bench_data(*texts, QUICK.vocab_size, Silent()) as data:
        assert measure(data, QUICK, Silent())["fillings"] == result["fillings"]


def test_what_is_printed_never_calls_the_score_a_probability(printed: dict[str, object]) -> None:
    text = json.dumps(printed)
    assert "published_bits_NOT_A_PROBABILITY" in text and "published_bpb" not in text


def test_the_tables_label_the_score_and_show_every_filling(result: Found, tmp_path: Path) -> None:
    (tmp_path / "2026-01-01-published.json").write_text(json.dumps(result))
    made = filled("<!-- table: published uniform -->\n<!-- end -->\n", tmp_path)
    assert "published score (not a probability)" in made
    assert all(f"| {label(filling)} |" in made for filling in result["fillings"])

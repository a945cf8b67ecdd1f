"""`regrow bench published`: the score, its sum and the honest form, side by side and never mixed up."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.dated import newest
from benchmarks.published import QUICK, STAND_INS, measure
from benchmarks.published_page import page
from benchmarks.published_picture import picture
from benchmarks.published_result import PublishedResult
from benchmarks.texts import bench_data
from regrow.cli import main
from regrow.core.errors import DataError
from regrow.core.progress import Silent

ROOT = Path(__file__).parents[2]


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
def result(printed: dict[str, object]) -> PublishedResult:
    return PublishedResult.load(Path(str(printed["result"])))


def test_the_score_falls_and_its_sum_rises_with_counts_of_one_text(result: PublishedResult) -> None:
    """Passes over the same text teach nothing, so only a broken score may gain by them."""
    runs = [result.of("text")[-1], *result.of("passes")]
    assert len(runs) >= 3
    for name in STAND_INS:
        scores = [r.scores[name] for r in runs]
        assert all(a.published_bits > b.published_bits for a, b in itertools.pairwise(scores))
        assert all(a.z_mean < b.z_mean for a, b in itertools.pairwise(scores))
        assert all(1 < s.z_min <= s.z_mean <= s.z_max < result.vocab_size for s in scores)


def test_a_table_of_one_constant_scores_best_and_knows_nothing(result: PublishedResult) -> None:
    full = result.of("constant")[-1]
    assert full.constant == 65535 and full.full == 1.0
    score = full.scores["uniform"]
    others = [f.scores["uniform"].published_bits for f in result.fillings if f is not full]
    assert score.published_bits < min(others)
    assert score.honest_bpb == pytest.approx(score.base_bpb, abs=1e-6)


def test_the_honest_form_is_far_from_the_score_and_near_knowing_nothing(result: PublishedResult) -> None:
    last = result.of("passes")[-1].scores["uniform"]
    assert last.honest_bpb > 10 * last.published_bits
    assert last.honest_bpb == pytest.approx(last.base_bpb, rel=0.05)


def test_the_stand_in_is_the_exact_memory_of_the_same_text(result: PublishedResult) -> None:
    small, whole = result.of("text")[0], result.of("text")[-1]
    assert small.exact_bpb is not None and whole.exact_bpb is not None
    assert whole.exact_bpb < small.exact_bpb < whole.scores["uniform"].base_bpb
    assert whole.scores["exact memory"].base_bpb == whole.exact_bpb


def test_a_run_repeats_exactly(texts: tuple[Path, Path], result: PublishedResult) -> None:
    with bench_data(*texts, QUICK.vocab_size, Silent()) as data:
        assert measure(data, QUICK, Silent()).fillings == result.fillings


def test_what_is_printed_never_calls_the_score_a_probability(printed: dict[str, object]) -> None:
    text = json.dumps(printed)
    assert "published_bits_NOT_A_PROBABILITY" in text and "published_bpb" not in text


def test_the_page_labels_the_score_and_warns_of_a_quick_run(result: PublishedResult) -> None:
    text = page(result, "bench/results/x.json")
    for found in result.fillings:
        assert f"| {found.label} |" in text
    assert "not a probability" in text and "figures mean nothing" in text and "x.json" in text
    assert "figures mean nothing" not in page(msgspec.structs.replace(result, size="full"), "x")
    for line in text.splitlines():
        assert not line.startswith("| ") or line.count("|") in (5, 10)


def test_the_picture_is_an_svg_and_the_same_each_time(result: PublishedResult) -> None:
    drawn = picture(result)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert picture(result) == drawn


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"x\.json"):
        PublishedResult.load(path)


@pytest.mark.skipif(
    not (ROOT / "docs" / "published.md").exists(), reason="no full run of the bench is kept yet"
)
def test_the_page_of_the_published_cache_is_current(tmp_path: Path) -> None:
    """If this fails: `python docs/make_published.py`."""
    make = runpy.run_path(str(ROOT / "docs" / "make_published.py"))
    make["make"](newest("published", ROOT / "bench" / "results"), tmp_path)
    assert (tmp_path / "published.md").read_text() == (ROOT / "docs" / "published.md").read_text()

"""Models of words: estimated, written, read, and asked; and files of others."""

from __future__ import annotations

import gzip
import io
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import regrow
from regrow.core.errors import DataError, EnvironmentProblem, NgramError
from regrow.ngram import word_counts
from regrow.ngram.store.arpa import write_arpa
from regrow.ngram.word_counts import estimate_words
from regrow.ngram.word_model import WordModel
from regrow.predict.text_scores import TextScore, load_scorer, score_texts

# As SRILM writes: no backoff weight where it is 0, <unk> among the words, 3-grams whose beginnings are pruned.
SRILM = b"""a comment of the tool that made this

\\data\\
ngram 1=5
ngram 2=2
ngram 3=1

\\1-grams:
-0.5\t</s>
-99\t<s>\t-0.25
-1.5\t<unk>
-0.75\ta\t-0.125
-1\tb

\\2-grams:
-0.2\t<s> a\t-0.5
-0.3\ta b

\\3-grams:
-0.1\tb a b

\\end\\
"""


def arpa(path: Path, text: bytes = SRILM) -> Path:
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["m.arpa", "m.arpa.gz"])
def test_a_file_of_other_tools_scores_by_hand(tmp_path: Path, name: str) -> None:
    model = regrow.load_ngram(arpa(tmp_path / name))
    assert isinstance(model, regrow.WordModel)
    # a after <s>: seen; b after a: seen, but not after <s> a (-0.5); </s> after b: no weight
    expected = [(-0.2, 2, False), (-0.3 - 0.5, 2, False), (-0.5, 1, False)]
    assert [(round(p, 6), n, unknown) for p, n, unknown in model.full_scores("a b")] == expected
    assert model.score("a b") == pytest.approx(-1.5)
    assert model.score(b"a b", bos=False, eos=False) == pytest.approx(-0.75 - 0.3)
    assert model.score("b a b", bos=False, eos=False) == pytest.approx(-1 - 0.75 - 0.1)  # "b a" is no 2-gram
    assert model.perplexity("a b") == pytest.approx(10 ** (1.5 / 3))
    assert model.score("zebra", bos=False, eos=False) == pytest.approx(-1.5)
    assert [f[1:] for f in model.full_scores("zebra")] == [(1, True), (1, False)]
    assert model.order == 3 and "a" in model and "zebra" not in model and "<unk>" not in model


def test_a_file_without_unk_gives_unknown_words_what_kenlm_gives(tmp_path: Path) -> None:
    text = SRILM.replace(b"-1.5\t<unk>\n", b"").replace(b"ngram 1=5", b"ngram 1=4")
    model = regrow.WordModel.load(arpa(tmp_path / "m.arpa", text))
    assert model.score("zebra", bos=False, eos=False) == -100


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"ngram 2=2", b"ngram 2=3", r"line 19 ends 2 2-grams, of which .* promises 3"),
        (b"-0.3\ta b", b"-0.3\ta c", r"line 17 holds 'c', no 1-gram"),
        (b"-0.3\ta b", b"-0.3\ta", r"line 17 has 2 fields, an entry of 2-grams 3 or 4"),
        (b"-0.3\ta b", b"x\ta b", r"ends 2-grams of which one has no number"),
        (b"-0.3\ta b", b"nan\ta b", r"ends 2-grams of which one has no number"),
        (b"-0.3\ta b", b"0.3\ta b", r"ends 2-grams of which one has no number"),
        (b"-0.3\ta b", b"-0.3\ta b\tnan", r"ends 2-grams of which one has no number"),
        (b"\\end\\", b"", r"is not \\end\\"),
        (b"ngram 2=2\n", b"", r"is no 'ngram 2=COUNT'"),
        (b"-0.5\t</s>", b"-0.5\t</S>", r"the model has no </s>"),
    ],
)
def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path, old: bytes, new: bytes, sentence: str) -> None:
    with pytest.raises(NgramError, match=sentence):
        WordModel.load(arpa(tmp_path / "m.arpa", SRILM.replace(old, new)))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for text in (b"hello", b"\x1f\x8bhello"):
        with pytest.raises(NgramError, match="is no ARPA file"):
            WordModel.load(arpa(tmp_path / "m.arpa", text))
    cut = tmp_path / "cut.arpa.gz"
    cut.write_bytes(gzip.compress(SRILM)[:-12])
    with pytest.raises(NgramError, match="is damaged"):
        WordModel.load(cut)


def test_one_sentence_is_enough_and_says_which_discounts() -> None:
    """KenLM refuses to estimate from this; by hand: of three unigrams counted once each takes 0.5, shared by four."""
    notes: list[str] = []
    model = WordModel(*estimate_words([b"a b"], 5, log=notes.append))
    assert len(notes) == 5 and "(0.5, 1.0, 1.5)" in notes[0]
    unigram = (1 - 0.5) / 3 + 0.5 / 4
    assert 10 ** model.score("b", bos=False, eos=False) == pytest.approx(unigram, rel=1e-6)
    assert 10 ** model.score("zebra", bos=False, eos=False) == pytest.approx(0.5 / 4, rel=1e-6)
    after_a = (1 - 0.5) / 1 + 0.5 * unigram
    assert 10 ** model.score("a b", bos=False, eos=False) == pytest.approx(unigram * after_a, rel=1e-6)


def test_writing_and_reading_changes_nothing(tmp_path: Path) -> None:
    words, orders = estimate_words([b"a b c", b"a b", b"", b"c c a \xff"], 4)
    text = io.BytesIO()
    write_arpa(text, words, orders, lambda n: None)
    built, read = WordModel(words, orders), WordModel.load(arpa(tmp_path / "m.arpa", text.getvalue()))
    for sentence in (b"a b c", b"", b"c b zebra a", b"\xff a"):
        assert read.score(sentence) == pytest.approx(built.score(sentence), abs=1e-6)


def test_text_that_holds_the_marks_or_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="line 2 of the text holds <s>"):
        estimate_words([b"a", b"b </s>"], 3)
    with pytest.raises(DataError, match="no word"):
        estimate_words([b"", b" "], 3)


def test_the_rarest_words_become_unknown_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "VOCAB_LIMIT", 5)  # </s>, <s>, <unk> and two words
    notes: list[str] = []
    model = WordModel(*estimate_words([b"a b a b c", b"d a b"], 3, log=notes.append))
    assert notes[0] == "4 words: the 2 rarest of them are <unk>"
    assert "a" in model and "b" in model and "c" not in model
    total = sum(10 ** model.score(w, bos=False, eos=False) for w in ("a", "b", "zebra", "</s>"))
    assert total == pytest.approx(1, abs=1e-6)


def test_many_sentences_at_once_are_those_one_by_one() -> None:
    model = WordModel(*estimate_words([b"a b c", b"b c", b"c a"], 3))
    sentences = [b"a b", b"", b"c c zebra"]
    log10_T, _, unknown_T, start_D1 = model.score_many(sentences)
    sums = [float(log10_T[a:b].sum()) for a, b in pairwise(start_D1)]
    assert sums == pytest.approx([model.score(s) for s in sentences])
    assert int(unknown_T.sum()) == 1 and not np.isnan(log10_T).any()
    assert math.isclose(model.perplexity(""), 10 ** -sums[1], rel_tol=1e-6)


def test_a_probability_of_0_costs_its_own_sentence_alone(tmp_path: Path) -> None:
    """Sums of many sentences are taken from one running sum, where infinity less infinity is NaN."""
    path = arpa(tmp_path / "m.arpa", SRILM.replace(b"-0.3\ta b", b"-inf\ta b"))
    first, second = load_scorer(path)([b"a b", b"b"])
    assert first.bits > 99 and second.bits == pytest.approx(load_scorer(arpa(path))([b"b"])[0].bits)


def test_a_cost_that_is_no_number_is_no_score() -> None:
    scores = score_texts(lambda texts: [TextScore(float("nan"), 1, 1, 1, 0) for _ in texts], [b"a"])
    with pytest.raises(EnvironmentProblem, match="text 1: its cost is no finite number"):
        list(scores)

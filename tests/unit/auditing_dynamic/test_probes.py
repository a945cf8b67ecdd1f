"""Each probe: a scorer with the fault fails it, an honest one passes all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.probe.run import run_probes

#: An honest predictor: bigram counts, learnt as it goes, every row normalised.
HONEST = """
import numpy as np
VOCAB_SIZE = V = 48

class Bigrams:
    def __init__(self, batch):
        self.counts = np.full((batch, V, V), 0.5)
        self.last = np.zeros(batch, int)
        self.rows = np.arange(batch)

    def predict(self):
        row = self.counts[self.rows, self.last]
        return np.log(row / row.sum(1, keepdims=True))

    def update(self, tokens):
        self.counts[self.rows, self.last, tokens] += 1
        self.last = tokens.copy()

predictor = Bigrams
"""

#: The published design in small: one hashed table keyed by context and target, read for the target alone.
GOLD_ONLY = """
import numpy as np
VOCAB_SIZE = V = 48

def score(tokens):
    table = {}
    nats = []
    for i, token in enumerate(tokens):
        key = hash((tuple(tokens[max(0, i - 2):i]), int(token))) % 512
        count = table.get(key, 0)
        p = 1 / V
        if count:
            p = 0.3 * p + 0.7 * count / (count + 0.5)
        nats.append(-np.log(p))
        table[key] = count + 1
    return np.array(nats)
"""

HONEST_SCORE = """
import numpy as np
VOCAB_SIZE = V = 48

def distribution(prefix):
    counts = np.full(V, 0.5)
    np.add.at(counts, prefix, 1)
    return np.log(counts / counts.sum())

def score(tokens):
    return np.array([-distribution(tokens[:i])[t] for i, t in enumerate(tokens)])
"""


def run(tmp_path: Path, source: str) -> dict[str, ProbeResult]:
    """Every probe on a shim's source."""
    shim = tmp_path / "shim.py"
    shim.write_text(source)
    return {result.probe: result for result in run_probes(shim)[0]}


def outcomes(results: dict[str, ProbeResult], outcome: str) -> set[str]:
    return {name for name, result in results.items() if result.outcome == outcome}


def test_an_honest_predictor_passes(tmp_path: Path) -> None:
    results = run(tmp_path, HONEST)
    assert outcomes(results, "passed") == {
        "sum-over-vocabulary",
        "change-target",
        "change-future",
        "predict-twice",
        "score-twice",
        "code-length",
    }
    assert outcomes(results, "not applicable") == {"permute-documents", "count-bytes"}
    numbers = results["code-length"].numbers
    assert 0.99 < float(numbers["ratio"] or 0) < 1.01 and numbers["decoded"] == "yes"


def test_an_honest_scoring_function_passes_with_and_without_its_distribution(tmp_path: Path) -> None:
    assert not outcomes(run(tmp_path, HONEST_SCORE), "failed")
    hidden = HONEST_SCORE.replace("def distribution", "def _row").replace("distribution(", "_row(")
    results = run(tmp_path, hidden)
    assert not outcomes(results, "failed") and "sum-over-vocabulary" in outcomes(results, "passed")


def test_a_lookup_of_the_gold_token_alone_fails(tmp_path: Path) -> None:
    """The published design: asked for every token in turn, it gives out more than one in all."""
    results = run(tmp_path, GOLD_ONLY)
    assert "sum-over-vocabulary" in outcomes(results, "failed")
    assert float(results["sum-over-vocabulary"].numbers["largest_sum"] or 0) > 1.05


def test_rows_that_do_not_sum_to_one_fail_and_cost_more_than_they_claim(tmp_path: Path) -> None:
    results = run(
        tmp_path,
        HONEST.replace(
            "np.log(row / row.sum(1, keepdims=True))",
            "np.log(np.minimum(3 * row / row.sum(1, keepdims=True), 0.99))",
        ),
    )
    assert outcomes(results, "failed") >= {"sum-over-vocabulary", "code-length"}


def test_a_scorer_that_sees_its_target_fails(tmp_path: Path) -> None:
    """Its score of a token is not what the distribution it shows gives that token."""
    source = HONEST_SCORE.replace(
        "return np.array([-distribution(tokens[:i])[t] for i, t in enumerate(tokens)])",
        "return np.array([0.5 * -distribution(tokens[:i])[t] for i, t in enumerate(tokens)])",
    )
    assert outcomes(run(tmp_path, source), "failed") >= {"change-target", "code-length"}


def test_a_scorer_that_looks_ahead_fails(tmp_path: Path) -> None:
    source = (
        HONEST_SCORE
        + "\n_honest = score\ndef score(tokens):\n    out = _honest(tokens)\n"
        + "    out[:-1] -= 0.01 * (tokens[1:] % 5)\n    return out\n"
    )
    assert "change-future" in outcomes(run(tmp_path, source), "failed")


def test_a_second_pass_that_has_learnt_the_text_fails(tmp_path: Path) -> None:
    """State that outlives the text: case 21, re-scoring after adapting."""
    source = HONEST.replace("self.counts = np.full((batch, V, V), 0.5)", "self.counts = SHARED").replace(
        "class Bigrams", "SHARED = np.full((1, V, V), 0.5)\n\nclass Bigrams"
    )
    results = run(tmp_path, source)
    assert "score-twice" in outcomes(results, "failed")
    assert float(results["score-twice"].numbers["gained_by_second_pass_nats"] or 0) > 0


def test_a_predict_that_learns_fails(tmp_path: Path) -> None:
    source = HONEST.replace(
        "        row = self.counts", "        self.counts[:, self.last, 0] += 1\n        row = self.counts"
    )
    assert "predict-twice" in outcomes(run(tmp_path, source), "failed")


def test_a_state_digest_is_compared_where_given(tmp_path: Path) -> None:
    """A counter that predict moves without moving a probability still shows in the digest."""
    source = HONEST.replace(
        "        row = self.counts",
        "        self.asked = getattr(self, 'asked', 0) + 1\n        row = self.counts",
    )
    source += "\ndef state_digest(p):\n    return str(getattr(p, 'asked', 0))\n"
    assert "predict-twice" in outcomes(run(tmp_path, source), "failed")


@pytest.mark.parametrize("resets", [True, False])
def test_a_claimed_document_reset_is_tried(tmp_path: Path, resets: bool) -> None:
    """Case 20: state that leaks across documents."""
    source = HONEST + "\nDOCUMENT_RESET = True\nBOS_ID = 1\n"
    if resets:
        source = source.replace(
            "        self.last = tokens.copy()",
            "        self.last = tokens.copy()\n        if tokens[0] == 1:\n"
            "            self.__init__(len(tokens))\n            self.last = tokens.copy()",
        )
    result = run(tmp_path, source)["permute-documents"]
    assert result.outcome == ("passed" if resets else "failed")


@pytest.mark.parametrize(("count", "outcome"), [("len(TEXT)", "passed"), ("len(TEXT) + 9", "failed")])
def test_the_bytes_divided_by_are_compared_with_the_text(tmp_path: Path, count: str, outcome: str) -> None:
    source = HONEST + (
        "\nTEXT = bytes(range(2, 40)) * 3\ndef tokens():\n    return np.frombuffer(TEXT, "
        "np.uint8).astype(np.int64)\n"
        "def decode(tokens):\n    return bytes(tokens.astype(np.uint8))\n"
        f"def byte_count(tokens):\n    return {count}\n"
    )
    assert run(tmp_path, source)["count-bytes"].outcome == outcome


def test_a_lossy_text_is_seen_by_decoding(tmp_path: Path) -> None:
    """Case 12: what is decoded is not what was to be scored."""
    source = HONEST + (
        "\nTEXT = b'AbcAbcAbc'\ndef tokens():\n    return np.frombuffer(TEXT.lower(), "
        "np.uint8).astype(np.int64) - 90\n"
        "def decode(tokens):\n    return bytes((tokens + 90).astype(np.uint8))\n"
    )
    assert run(tmp_path, source)["count-bytes"].outcome == "failed"


def test_a_shim_that_does_not_load_is_said_so(tmp_path: Path) -> None:
    results = run(tmp_path, "raise RuntimeError('no weights here')\n")
    assert results["load"].outcome == "crashed" and "no weights here" in results["load"].message


def test_a_scorer_that_dies_leaves_its_question_open(tmp_path: Path) -> None:
    source = HONEST.replace(
        "        self.last = tokens.copy()",
        "        self.last = tokens.copy()\n        if self.counts.sum() > 48 * 24 + 9:\n"
        "            import os; os._exit(3)",
    )
    results = run(tmp_path, source)
    assert outcomes(results, "crashed") and not outcomes(results, "failed")

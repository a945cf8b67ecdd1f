"""Each check of a record: a folder broken in one place is found out, its honest twin is clean."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.auditing_dynamic.audited_submission import FIGURES, RATIO, SCRIPT, log_text, submission

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.accounting import account, record_findings
from regrow.challenge.audit.record.record import load_record
from regrow.challenge.significance import one_sided_p, upper_tail


def rules(folder: Path, above: str = "low") -> dict[str, Finding]:
    """Findings above a severity, by rule."""
    found = record_findings(load_record(folder))
    return {f.rule: f for f in found if above == "" or f.severity != above}


def every(**changes: Any) -> dict[str, str]:
    """The three logs, each with the same change."""
    return {f"train_seed{s}.log": log_text(s, b, **changes) for s, b in FIGURES.items()}


def test_an_honest_submission_has_nothing_above_low(tmp_path: Path) -> None:
    assert rules(submission(tmp_path / "a")) == {}


def test_the_headline_is_traced_to_the_lines_whose_mean_it_is(tmp_path: Path) -> None:
    told = account(load_record(submission(tmp_path / "a")))
    assert told["headline"]["kind"] == "mean"
    assert len(told["headline"]["lines"]) == 3 and "exact" in told["headline"]["label"]
    assert told["seeds"]["mean"] == pytest.approx(1.221) and told["seeds"]["deviation"] == pytest.approx(
        0.001
    )
    assert told["text"]["bytes_per_token"] == pytest.approx(RATIO, abs=1e-3)


@pytest.mark.parametrize(("factor", "verdict"), [(1.17, "high"), (1.05, "medium")])
def test_a_byte_count_that_is_too_high_shows_in_bytes_per_token(
    tmp_path: Path, factor: float, verdict: str
) -> None:
    """Case 7 and its kin: loss and figure together imply more bytes than the text has."""
    mean = 1.221
    folder = submission(
        tmp_path / "a", every(ratio=RATIO * factor), val_loss=mean * RATIO * factor * math.log(2)
    )
    assert rules(folder)["bytes-per-token"].severity == verdict


def test_an_unknown_tokenizer_must_arrive_at_the_same_text(tmp_path: Path) -> None:
    """A tokenizer of one's own is fine; bytes that the text has not are not."""
    own = {"tokenizer": "./mine.model", "tokens": 50_000_000}
    true = 151.08e6 / 50_000_000
    honest = submission(tmp_path / "a", every(ratio=true, **own), val_loss=1.221 * true * math.log(2))
    assert "bytes-per-token" not in rules(honest)
    false = true * 1.23
    bad = submission(tmp_path / "b", every(ratio=false, **own), val_loss=1.221 * false * math.log(2))
    assert rules(bad)["bytes-per-token"].severity == "high"


def test_a_part_of_the_validation_text_is_not_the_benchmark(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a", every(tokens=12_000_000))
    assert rules(folder)["validation-set-in-part"].severity == "high"


def test_more_bytes_than_the_cap_are_found_in_the_log(tmp_path: Path) -> None:
    assert rules(submission(tmp_path / "a", every(total=16_200_000)))["over-the-cap"].severity == "high"
    assert rules(submission(tmp_path / "b", every(total=15_999_999))) == {}


def test_helpers_count_as_code(tmp_path: Path) -> None:
    """A helper that the script imports, or opens by name, weighs; a file it never names does not."""
    folder = submission(tmp_path / "a", every(total=15_990_000))
    (folder / "train_gpt.py").write_text("import helper\nopen('table.py')\n" + SCRIPT)
    noise = "".join(f"x{i} = {hash((i, 7)) & 0xFFFFFFFFFFFF}\n" for i in range(30_000))
    (folder / "helper.py").write_text(noise)
    (folder / "table.py").write_text("y = 1\n")
    (folder / "unused.py").write_text(noise)
    told = account(load_record(folder))
    assert set(told["bytes"]["files"]) == {"train_gpt.py", "helper.py", "table.py"}
    assert rules(folder)["over-the-cap"].severity == "high"


def test_a_headline_that_no_log_prints_is_untraced(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a", val_bpb=1.1000, val_loss=None, seed_results=None)
    assert rules(folder)["headline-untraced"].severity == "medium"


def test_a_headline_from_before_packing_is_told_apart(tmp_path: Path) -> None:
    before = log_text(1, 1.2200, more="").replace(
        "final_int8_zlib_roundtrip val_loss",
        "DIAGNOSTIC post_ema val_loss:2.0432 val_bpb:1.2101\nfinal_x val_loss",
    )
    folder = submission(
        tmp_path / "a", {"train.log": before}, val_bpb=1.2101, val_loss=None, seed_results=None
    )
    assert "headline-before-packing" in rules(folder)


def test_several_configurations_in_one_mean(tmp_path: Path) -> None:
    """Case 24."""
    logs = every()
    logs["train_seed3.log"] = log_text(3, FIGURES[3], settings="num_layers: 10")
    found = rules(submission(tmp_path / "a", logs))["settings-mixed"]
    assert "num_layers=9" in found.evidence and "num_layers=10" in found.evidence


def test_a_seed_counted_twice_is_seen(tmp_path: Path) -> None:
    logs = {f"run{n}.log": log_text(min(n, 2), b) for n, b in FIGURES.items()}
    assert "seed-counted-twice" in rules(submission(tmp_path / "a", logs, seed_results=None))


def test_one_run_stored_under_two_names_is_one_run(tmp_path: Path) -> None:
    logs = {"train.log": log_text(1, 1.22), "train_seed1.log": log_text(1, 1.22)}
    folder = submission(tmp_path / "a", logs, val_bpb=1.22, val_loss=None, seed_results=None)
    assert rules(folder) == {} and account(load_record(folder))["headline"]["kind"] == "line"


def test_a_vocabulary_smaller_than_the_tokenizers(tmp_path: Path) -> None:
    """Case 11."""
    logs = every(tokenizer="./data/fineweb_8192_bpe.model", tokens=40_540_160, ratio=3.727)
    folder = submission(tmp_path / "a", logs, val_loss=1.221 * 3.727 * math.log(2))
    assert rules(folder)["vocabulary-smaller-than-tokenizer"].severity == "high"


def test_folded_text_is_another_text(tmp_path: Path) -> None:
    """Case 12; a lossless capitalisation code is not folding."""
    bad = submission(tmp_path / "a", every(tokenizer="./fineweb_1024_bpe_casefold_v2.model"))
    assert rules(bad)["text-folded"].severity == "high"
    fine = submission(tmp_path / "b", every(tokenizer="./fineweb_1024_bpe_lossless_caps.model"))
    assert "text-folded" not in rules(fine)


def test_validation_text_kept_in_the_artifact(tmp_path: Path) -> None:
    """Case 26; saying that none is kept is no confession."""
    bad = submission(tmp_path / "a", blurb="paid prefix: LZMA-compressed val tokens for 10 %", val_loss=0.0)
    assert rules(bad)["validation-text-in-artifact"].severity == "high"
    fine = submission(tmp_path / "b", blurb="there is no paid prefix, and we do not store validation tokens")
    assert "validation-text-in-artifact" not in rules(fine)


def test_a_figure_below_every_legal_one_asks_for_the_probes(tmp_path: Path) -> None:
    figures = {"train.log": log_text(1, 0.0905)}
    folder = submission(tmp_path / "a", figures, val_bpb=0.0905, val_loss=None, seed_results=None)
    assert rules(folder)["below-known-floor"].severity == "medium"


def test_training_over_the_limit(tmp_path: Path) -> None:
    logs = {k: v.replace("train_time:599000ms", "train_time:700000ms") for k, v in every().items()}
    assert "over-the-time-limit" in rules(submission(tmp_path / "a", logs))


def test_source_printed_into_a_log_is_no_figure(tmp_path: Path) -> None:
    source = 'log0(f"final_int8 val_loss:{x:.4f} val_bpb:0.5000")\n    # val_bpb: 0.5000\n'
    logs = {name: source + text for name, text in every().items()}
    assert rules(submission(tmp_path / "a", logs)) == {}


def test_broken_claims_are_a_finding_not_a_crash(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a")
    (folder / "submission.json").write_text('{"val_bpb": 1.2')
    assert "claims-unreadable" in rules(folder, above="")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    claims=st.dictionaries(
        st.sampled_from(
            ["val_bpb", "val_loss", "seeds", "seed_results", "bytes_total", "results", "track", "name"]
        ),
        _JSON,
    ),
    log=st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")),
)
def test_no_claims_and_no_log_crash_a_check(tmp_path: Path, claims: dict[str, Any], log: str) -> None:
    """Whatever types the claims have and whatever a log holds, every question is answered."""
    folder = submission(tmp_path / "a", {"train.log": "seed:1\nval_bpb:1.2345 val_loss:2\n" + log})
    (folder / "submission.json").write_text(json.dumps(claims))
    record = load_record(folder)
    assert not [f.message for f in record_findings(record) if f.rule == "rule-crashed"] and account(record)


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a")
    (folder / "loop").symlink_to(folder)
    (folder / "secret.log").symlink_to("/etc/passwd")
    record = load_record(folder)
    assert all("loop" not in str(p) and p.name != "secret.log" for p in record.folder.files)


@pytest.mark.parametrize(
    ("t", "degrees", "tail"),
    [
        (0.0, 5, 0.5),
        (2.920, 2, 0.05),
        (4.541, 3, 0.01),
        (1.812, 10, 0.05),
        (2.326, 1e6, 0.01),
        (-2.920, 2, 0.95),
    ],
)
def test_students_tail_agrees_with_the_printed_tables(t: float, degrees: float, tail: float) -> None:
    assert upper_tail(t, degrees) == pytest.approx(tail, rel=2e-3)


def test_the_p_value_is_of_the_right_side() -> None:
    values = [1.080, 1.081, 1.0805]
    below, above = one_sided_p(values, 1.09), one_sided_p(values, 1.07)
    assert below is not None and above is not None and below < 0.001 and above > 0.999
    assert one_sided_p([1.0], 1.1) is None and one_sided_p([1.0, 1.0], 1.1) is None


def test_a_claimed_size_that_no_log_prints_is_noted(tmp_path: Path) -> None:
    told = rules(submission(tmp_path / "a", every(total=15_990_000)), above="")
    assert told["size-not-as-logged"].severity == "low"
    assert "size-not-as-logged" not in rules(submission(tmp_path / "b"), above="")


def test_code_that_the_logs_did_not_count_is_noted(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a")
    assert "code-not-counted" not in rules(folder, above="")
    (folder / "train_gpt.py").write_text("import helper\n" + SCRIPT)
    (folder / "helper.py").write_text("".join(f"y{i} = {i}\n" for i in range(2_000)))
    assert "code-not-counted" in rules(folder, above="")


def test_the_best_of_the_seeds_is_not_their_mean(tmp_path: Path) -> None:
    best = min(FIGURES.values())
    folder = submission(tmp_path / "a", val_bpb=best, val_loss=best * RATIO * math.log(2))
    assert "headline-not-the-mean" in rules(folder, above="")
    assert "headline-not-the-mean" not in rules(submission(tmp_path / "b"), above="")

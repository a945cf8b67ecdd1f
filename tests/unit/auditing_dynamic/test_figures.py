"""Figures that cannot be are findings of high severity; figures that can be compare as finely as they are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.auditing_dynamic.audited_submission import FIGURES, log_text, submission

from regrow.challenge.audit import audit
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.accounting import account, record_findings
from regrow.challenge.audit.record.claims import parse_claims
from regrow.challenge.audit.record.possible import figures, impossible
from regrow.challenge.audit.record.record import load_record
from regrow.challenge.audit.sarif import sarif


def found(folder: Path, rule: str = "impossible-figure") -> list[Finding]:
    return [f for f in record_findings(load_record(folder)) if f.rule == rule]


def claiming(folder: Path, text: str) -> Path:
    """An honest submission with one more line in submission.json, which replaces what stood there before."""
    path = submission(folder, **{text.split('"')[1]: None}) / "submission.json"
    path.write_text(path.read_text().rstrip().removesuffix("}") + f",\n {text}\n}}")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        '"val_bpb": 0', '"val_bpb": 0.0', '"val_bpb": -1.2', '"val_bpb": NaN', '"val_bpb": Infinity',
        '"val_bpb": 1e999', '"val_bpb": "nan"', '"val_bpb": "-1.2"', '"val_bpb": "-1.2 bpb"',
        '"val_bpb": 1e-300', '"val_bpb": 1234', '"val_bpb": {"mean": -1.0}', '"train_seconds": -600',
        '"val_loss": 0', '"val_loss": -2', '"val_loss": NaN', '"mean_val_bpb": -1.1', '"p_value": -0.1',
        '"p_value": 1.5', '"bytes_total": 10000000000000000', '"bytes_total": 1e18', '"bytes_total": -5',
        '"bytes_total": "99,999,999,999,999,999"', '"bytes_total": 0.5', '"bytes_total": 0',
        '"bytes_total": ' + "9" * 5000, '"bytes_total": NaN', '"artifact_bytes": -1', '"bytes_code": -1',
        '"seed_results": {"1": {"val_bpb": -1.2}}', '"seed_results": {"1": {"val_bpb": NaN}}',
        '"val_bpb_seeds": {"1": -1.0}', '"seed_results": [{"seed": 1, "val_bpb": 0.0}]', '"val_bpb_std": -0.1',
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be(tmp_path: Path, text: str) -> None:
    folder = claiming(tmp_path / "a", text)
    (one,) = found(folder)
    assert (
        one.severity == "high" and one.line == len((folder / "submission.json").read_text().splitlines()) - 1
    )
    assert audit(folder).verdict == "flagged"


@pytest.mark.parametrize(
    "text",
    [
        '"val_bpb": true', '"val_bpb": false', '"val_bpb": "1,1"', '"val_bpb": "great"', '"val_bpb": "1.2.3"',
        '"val_bpb": []', '"val_bpb": {}', '"val_bpb": [true]', '"val_bpb": [[]]', '"val_bpb": {"mean": "low"}',
        '"val_loss": true', '"val_loss": "2,03"', '"bytes_total": true', '"bytes_total": "15,99,10"',
        '"bytes_total": "fifteen million"', '"bytes_total": []', '"bytes_code": "small"', '"artifact_bytes": false',
        '"train_seconds": "ten minutes"', '"p_value": "significant"', '"val_bpb_std": true', '"steps": "many"',
        '"seed_results": {"1": {"val_bpb": "good"}}', '"seed_results": [{"seed": 1, "val_bpb": true}]',
    ],
)  # fmt: skip
def test_a_claim_that_is_no_number(tmp_path: Path, text: str) -> None:
    folder = claiming(tmp_path / "a", text)
    one = next(f for f in found(folder) if "no number" in f.message)
    assert one.severity == "high" and one.evidence == text
    assert audit(folder).verdict == "flagged"


@pytest.mark.parametrize(
    "text", ['"val_bpb": [1.2, 1.3]', '"val_bpb": [1.2]', '"bytes_total": [15000000, 15100000]']
)
def test_a_list_where_one_figure_belongs_is_suspect(tmp_path: Path, text: str) -> None:
    folder = claiming(tmp_path / "a", text)
    assert [f.severity for f in found(folder) if "is a list" in f.message] == ["medium"]
    assert audit(folder).verdict != "clean"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1.2]",
        '"val_bpb"',
        "val_bpb: 1.2",
        '{"val_bpb": 1.2,}',
        '{"val_bpb": 1.2, "val_bpb": 0.9}',
        "\0" * 40,
    ],
)
def test_claims_that_cannot_be_read_are_suspect(tmp_path: Path, text: str) -> None:
    folder = submission(tmp_path / "a")
    assert audit(folder).verdict == "clean"
    (folder / "submission.json").write_text(text)
    assert audit(folder).verdict == "suspect"
    assert [f.severity for f in found(folder, "claims-unreadable")] == ["medium"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "submission.json").write_text(text)
    (tmp_path / "b" / "train_gpt.py").write_text("loss = cross_entropy(logits, targets)\n")
    assert audit(tmp_path / "b").verdict == "suspect"


@pytest.mark.parametrize(
    "text",
    [
        '"delta_bpb": -0.002', '"val_bpb_std": 0.0', '"val_bpb_std": NaN', '"p_value": NaN', '"ttt_gain_bpb": -0.01',
        '"val_loss_every": 0', '"bytes_code": 0', '"t_statistic": -7.7', '"improvement_nats": -0.1', '"val_bpb": null',
        '"val_bpb": "TBD"', '"val_bpb": ""', '"val_bpb": "PENDING"', '"val_bpb": "~1.22"',
        '"bytes_total": "15,900,000 bytes"', '"val_bpb": "1.22 ± 0.01"', '"p_value": "<0.001"', '"steps": "4974-4984"',
        '"val_bpb_method": "sliding"', '"val_tokens_equal": true', '"val_bpb": "n/a"', '"params": "17M"',
        '"aux_loss": 0.0', '"seed_results": {"1": {"val_bpb": 1.22}}',
    ],
)  # fmt: skip
def test_a_claim_that_can_be(tmp_path: Path, text: str) -> None:
    assert [f for f in found(claiming(tmp_path / "a", text)) if f.severity != "low"] == []


@pytest.mark.parametrize(
    "line",
    [
        "final_x val_loss:nan val_bpb:nan",
        "final_x val_loss:2.0 val_bpb:-1.2000",
        "final_x val_bpb:0.0000",
        "step:100/100 val_loss:inf val_bpb:inf",
        "final_x val_loss:-0.5 val_bpb:1.2",
        "Total submission size int8+zlib: -15900000 bytes",
        "Total submission size int8+zlib: 99999999999999999 bytes",
    ],
)
def test_a_log_line_that_cannot_be(tmp_path: Path, line: str) -> None:
    folder = submission(tmp_path / "a", {"train_seed1.log": log_text(1, 1.221, more=line)}, val_bpb=1.221)
    assert {f.severity for f in found(folder)} == {"high"}


@pytest.mark.parametrize(
    "line",
    [
        "ema: best val_bpb:inf so far",
        "step:1/100 val_loss:nan val_bpb:nan\nstep:2/100 val_loss:2.0 val_bpb:1.3",
        'log0(f"val_bpb:nan")',
        "running_val_bpb:0.0",
    ],
)
def test_a_log_line_that_can_be(tmp_path: Path, line: str) -> None:
    assert (
        found(submission(tmp_path / "a", {"train_seed1.log": log_text(1, 1.221, more=line)}, val_bpb=1.221))
        == []
    )


@pytest.mark.parametrize(
    "text", ["val_bpb: nan", "**val_bpb**: -1.2", "| val_bpb | 0.0000 |", "`bytes_total`: -3"]
)
def test_a_readme_that_cannot_be(tmp_path: Path, text: str) -> None:
    folder = submission(tmp_path / "a")
    (folder / "README.md").write_text(f"# x\n{text}\n")
    assert [(f.severity, f.line) for f in found(folder)] == [("high", 2)]
    (folder / "README.md").write_text(
        "| seed | `val_bpb` |\n| --- | --- |\n| 1 | 1.2 |\n| 2 | **nan** |\n\n| a | -1 |\n"
    )
    assert [(f.severity, f.line) for f in found(folder)] == [("high", 4)]
    (folder / "README.md").write_text("| Δ val_bpb | -0.002 |\nIt improves val_bpb: -0.002. val_bpb: 1.2\n")
    assert found(folder) == []


def test_impossible_figures_leave_every_form_of_the_report_whole(tmp_path: Path) -> None:
    folder = claiming(tmp_path / "a", '"val_bpb": Infinity,\n "bytes_total": 1e400,\n "val_loss": NaN')
    told = audit(folder)
    assert json.loads(json.dumps(sarif([told], "1"), allow_nan=False)) and json.dumps(
        told.account, allow_nan=False
    )


def test_many_impossible_figures_are_counted(tmp_path: Path) -> None:
    folder = claiming(tmp_path / "a", '"seed_results": {' + ", ".join(f'"{n}": -1' for n in range(50)) + "}")
    assert len(found(folder)) == 9 and "42 more" in found(folder)[-1].message


def test_names_are_what_stands_over_a_number() -> None:
    claims = parse_claims(
        Path("x"), '{"seed_results": {"seed_42": {"val_bpb": 1.2}}, "val_bpb": [1, "2"], "n": true}'
    )
    assert list(figures(claims.values)) == [("val_bpb", 1.2), ("val_bpb", 1.0), ("val_bpb", 2.0)]
    assert impossible("val_bpb", 8.0) is None and impossible("VAL_BPB", float("nan")) is not None


@pytest.mark.parametrize(
    ("headline", "kind"),
    [
        ("1.2210", "mean"),
        ("1.221", "mean"),
        ("1.22", "mean"),
        ("1.2210000001", "mean"),
        ("1.2217", None),
        ("1.24", None),
    ],
)
def test_a_headline_compares_at_the_digits_it_is_written_with(
    tmp_path: Path, headline: str, kind: str | None
) -> None:
    folder = submission(tmp_path / "a", seed_results=None, val_loss=None)
    path = folder / "submission.json"
    claims = json.dumps(json.loads(path.read_text()) | {"val_bpb": 0})
    path.write_text(claims.replace('"val_bpb": 0', f'"val_bpb": {headline}'))
    assert account(load_record(folder))["headline"]["kind"] == kind
    assert bool(found(folder, "headline-untraced")) is (kind is None)


def test_a_figure_with_all_its_digits_is_traced_to_the_log_that_prints_eight(tmp_path: Path) -> None:
    """What regrow's own record of one run looks like: it was called untraced."""
    exact = 1.1840123456789
    folder = submission(
        tmp_path / "a", {"train_seed1.log": log_text(1, exact)}, val_bpb=exact, seed_results=None
    )
    assert found(folder, "headline-untraced") == []
    own = submission(tmp_path / "b", val_bpb=sum(FIGURES.values()) / 3 + 1e-12)
    assert found(own, "headline-untraced") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_a_record_written_on_windows_is_the_same_record(tmp_path: Path, encoding: str) -> None:
    folder = submission(tmp_path / "a")
    before = account(load_record(folder))
    for path in folder.iterdir():
        if path.suffix != ".py":
            path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    after = account(load_record(folder))
    assert after == before
    assert [f for f in audit(folder).findings if f.severity != "low"] == []


def test_a_log_that_was_begun_in_one_encoding_and_continued_in_another(tmp_path: Path) -> None:
    """PowerShell's `>>` writes UTF-16 behind what was there."""
    folder = submission(tmp_path / "a", {}, val_bpb=1.2200, seed_results=None, val_loss=None)
    (folder / "train.log").write_bytes(b"seed:1\r\n" + log_text(1, 1.22).encode("utf-16-le"))
    assert found(folder, "headline-untraced") == []


@pytest.mark.parametrize(
    ("text", "bpb"),
    [
        ("a gain of -0.0015 bpb", None),
        ("sub-1.076 val_bpb", 1.076),
        ("1.0-1.2345 bpb", 1.2345),
        ("(−0.0043 BPB)", None),
    ],
)
def test_a_difference_in_a_readme_is_no_headline(tmp_path: Path, text: str, bpb: float | None) -> None:
    """-0.0015 bpb was read as a figure of 0.0015, far below every legal one."""
    (tmp_path / "README.md").write_text(text)
    lead = load_record(tmp_path).headline
    assert (lead.bpb if lead else None) == bpb

"""The verdict and its forms: text, JSON, SARIF, tables; one broken submission leaves the others judged."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.html_page import Page
from tests.unit.auditing_dynamic.audited_submission import submission

from regrow.artifact.container import PAYLOADS, write_artifact
from regrow.challenge.audit import audit, many
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.index import identifiers
from regrow.challenge.audit.many import audit_many, submissions
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.record import accounting
from regrow.challenge.audit.record.check import Check
from regrow.challenge.audit.record.record import Record
from regrow.challenge.audit.report import report
from regrow.challenge.audit.sarif import sarif
from regrow.challenge.audit.table import to_csv
from regrow.challenge.audit.verdict import Audit, clearing, fails, judge
from regrow.cli import main
from regrow.core.errors import DataError


def finding(severity: Any, confidence: Any = "high", **more: Any) -> Finding:
    fields = {
        "rule": "over-the-cap",
        "file": "a/train_gpt.py",
        "line": 3,
        "message": "m",
        "evidence": "e",
    } | more
    return Finding(severity=severity, confidence=confidence, **fields)


def test_findings_of_one_line_and_rule_have_an_order_of_their_own() -> None:
    """Else a report would follow Python's hash seed, which differs from run to run."""
    alike = [finding("high", message=m, evidence=e) for m in ("one", "two") for e in ("a", "b")]
    assert len({one.sort_key() for one in alike}) == len(alike)


@pytest.mark.parametrize(
    ("severity", "confidence", "verdict", "code"),
    [
        ("high", "high", "flagged", True),
        ("high", "medium", "flagged", True),
        ("high", "low", "suspect", False),
        ("medium", "high", "suspect", False),
        ("low", "high", "clean", False),
    ],
)
def test_the_verdict_and_the_default_exit_code_agree(
    severity: str, confidence: str, verdict: str, code: bool
) -> None:
    """`--fail-on high`, the default, is exactly `flagged`."""
    found = [finding(severity, confidence)]
    assert judge(found, []) == verdict
    assert fails(Audit("a", judge(found, []), found)) is code


def test_a_failed_probe_is_flagged_whatever_the_level() -> None:
    probes = [ProbeResult("sum-over-vocabulary", "failed", "sums to 854")]
    assert judge([], probes) == "flagged" and fails(Audit("a", "flagged", [], probes), "high")
    assert judge([], [ProbeResult("x", "crashed", "")]) == "clean"


def test_fail_on_lowers_the_bar() -> None:
    assert fails(Audit("a", "clean", [finding("low")]), "low")
    assert not fails(Audit("a", "clean", [finding("low")]), "medium")


def test_a_report_says_the_verdict_the_evidence_and_what_would_clear_it(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a", bytes_total=17_000_000, logs={})
    text = report(audit(folder))
    assert text.startswith(f"FLAGGED  {folder}")
    assert '> "bytes_total": 17000000' in text and "To clear:" in text


def test_the_clean_verdict_is_printed_too(tmp_path: Path) -> None:
    assert report(audit(submission(tmp_path / "a"))).startswith("CLEAN")


def test_a_crashing_check_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(record: Record) -> Any:
        raise ZeroDivisionError("by design")

    check = Check("broken", "t", "w", "c", broken)
    monkeypatch.setattr(accounting, "CHECKS", (check,))
    result = audit(submission(tmp_path / "a"))
    assert [f.rule for f in result.findings if f.severity == "medium"] == ["rule-crashed"]
    assert result.verdict == "suspect" and "by design" in result.findings[0].message


def test_json_has_the_keys_of_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = submission(tmp_path / "a", bytes_total=17_000_000, logs={})
    assert main(["audit", str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "flagged" and isinstance(told["probes"], list)
    assert set(told["findings"][0]) == {
        "rule",
        "severity",
        "confidence",
        "file",
        "line",
        "message",
        "evidence",
    }


def test_exit_codes_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = submission(tmp_path / "clean")
    assert main(["audit", str(clean)]) == 0
    assert main(["audit", str(tmp_path / "nothing")]) == 2
    assert "nothing to audit" in capsys.readouterr().err


def test_the_command_probes_with_a_shim(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = submission(tmp_path / "clean")
    shim = tmp_path / "shim.py"
    shim.write_text(
        "import numpy as np\nVOCAB_SIZE = 8\ndef score(tokens):\n    return np.full(len(tokens), 0.5)\n"
    )
    assert main(["audit", str(clean), "--run", str(shim), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["verdict"] == "flagged" and "probe score-twice\n" in err
    assert "failed" in {p["outcome"] for p in told["probes"] if p["probe"] == "sum-over-vocabulary"}


def test_sarif_has_the_shape_that_viewers_need(tmp_path: Path) -> None:
    """SARIF 2.1.0: the required keys, rules that results point to, lines from 1, relative or file URIs."""
    audits = [
        Audit("a", "flagged", [finding("high"), finding("medium", file="/abs/x y.py", line=None)]),
        Audit(
            "b",
            "flagged",
            [finding("low", file="b/t.py!layer1")],
            [ProbeResult("code-length", "failed", "no")],
        ),
    ]
    log = json.loads(msgspec.json.encode(sarif(audits, "0.1.0")))
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] and len({r["id"] for r in rules}) == len(rules)
    assert len(run["results"]) == 4
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("note", "warning", "error") and result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert " " not in place["artifactLocation"]["uri"]
        assert place.get("region", {"startLine": 1})["startLine"] >= 1
    assert (
        run["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        == "file:///abs/x%20y.py"
    )


def test_submissions_are_found_at_any_depth_and_links_are_not_followed(tmp_path: Path) -> None:
    one = submission(tmp_path / "track" / "one")
    (one / "logs").mkdir()
    (one / "logs" / "extra.py").write_text("x = 1\n")
    two = submission(tmp_path / "other" / "deep" / "two")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "a.py").write_text("x = 1\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert submissions(tmp_path) == sorted([one, two, tmp_path / "loose" / "a.py"])
    with pytest.raises(DataError):
        submissions(tmp_path / "track" / "one" / "logs" / "extra.py")


def test_a_folder_is_audited_in_parallel_into_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(tmp_path / "all" / "good")
    submission(tmp_path / "all" / "bad", bytes_total=17_000_000, logs={}, name="<script>alert(1)</script>")
    out = [tmp_path / f"table.{kind}" for kind in ("csv", "html", "json")]
    wanted = [arg for path in out for arg in ("-o", str(path))]
    assert main(["audit", str(tmp_path / "all"), "--many", "--json", "--quiet", *wanted]) == 1
    told = json.loads(capsys.readouterr().out)["submissions"]
    assert [a["verdict"] for a in told] == ["flagged", "clean"]
    rows = list(csv.DictReader(io.StringIO(out[0].read_text())))
    assert [r["verdict"] for r in rows] == ["flagged", "clean"] and rows[0]["findings_high"] == "1"
    page = out[1].read_text()
    assert "over-the-cap" in page and Page(page).is_complete() and "alert" not in Page(page).script
    assert len(json.loads(out[2].read_text())["submissions"]) == 2


def test_cells_that_a_spreadsheet_would_run_are_disarmed() -> None:
    table = to_csv([Audit("=cmd()", "clean", [])])
    assert "'=cmd" in table and table.count("'") == 1


def _breaks(limits: tuple[bool, int], path: Path) -> Audit:
    if path.name == "bad":
        os._exit(9)
    time.sleep(0.3 if path.name == "a" else 0)
    return Audit(str(path), "clean", [])


def test_a_submission_that_kills_its_process_leaves_the_others_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "bad", "c"):
        submission(tmp_path / name)
    monkeypatch.setattr(many, "_guarded", _breaks)
    # The first is slow, so that nobody is done when the pool breaks: it was blamed for the second's end.
    audits = {Path(a.path).name: a for a in audit_many(submissions(tmp_path), workers=2)}
    assert audits["a"].verdict == audits["c"].verdict == "clean"
    assert audits["bad"].findings[0].rule == "rule-crashed"


def _slow(limits: tuple[bool, int], path: Path) -> Audit:
    setattr(many, "audit_one", lambda *a, **k: time.sleep(30))  # noqa: B010 - in a process of its own
    return many._guarded(limits, path)


def test_a_submission_that_takes_too_long_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_guarded", _slow)
    submission(tmp_path / "slow")
    (slow,) = audit_many(submissions(tmp_path), workers=1, seconds_each=1)
    assert "more than 1 s" in slow.findings[0].message


def test_an_artifact_is_checked_against_its_manifest_and_budget(tmp_path: Path) -> None:
    payloads = {name: name.encode() * 9 for name in PAYLOADS}

    def made(name: str, budget: int) -> Path:
        write_artifact(tmp_path / name, payloads, {"config": {"pack": {"budget_bytes": budget}}})
        return tmp_path / name

    good = made("a.safetensors", 10_000)
    assert audit(good).verdict == "clean" and audit(good).account["bytes"]["mixer"] == 45
    assert audit(made("b.safetensors", 10)).verdict == "flagged"
    raw = good.read_bytes()
    for name, damaged in {"c": raw[:-1] + b"?", "d": raw + b"hidden", "e": b"no artifact"}.items():
        (tmp_path / f"{name}.safetensors").write_bytes(damaged)
        assert audit(tmp_path / f"{name}.safetensors").verdict == "flagged"


def test_an_identifier_is_of_one_thing() -> None:
    """A rule and a probe shared one once, and SARIF and 'what would clear it' mixed them."""
    ids = [one.id for one in identifiers()]
    assert len(ids) > 40 and len(set(ids)) == len(ids)
    assert all(one.title and one.why and one.clears for one in identifiers())
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", name) for name in ids)


def test_what_is_found_has_a_description() -> None:
    """No finding is made under a name that the index does not know."""
    source = "".join(p.read_text() for p in Path(many.__file__).parent.rglob("*.py"))
    made = set(re.findall(r'(?:Finding|report)\(\s*"([a-z-]+)"', source))
    assert {"unreadable-source", "rule-crashed"} & made and made <= {one.id for one in identifiers()}


def test_a_probe_and_a_rule_about_bytes_are_cleared_apart() -> None:
    cleared = clearing([finding("high", rule="byte-count")], [ProbeResult("count-bytes", "failed", "")])
    assert set(cleared) == {"byte-count", "count-bytes"} and cleared["byte-count"] != cleared["count-bytes"]


def test_names_that_are_not_utf8_cost_nobody_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(tmp_path / "all" / "good")
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "all") + b"/caf\xe9"))
    submission(odd, bytes_total=17_000_000, logs={}, name="\ud800")
    Path(os.fsdecode(os.fsencode(odd) + b"/h\xfflper.py")).write_text("def f(:\n")
    out = [tmp_path / f"t.{kind}" for kind in ("csv", "html", "json", "sarif")]
    wanted = [arg for path in out[:3] for arg in ("-o", str(path))]
    command = ["audit", str(tmp_path / "all"), "--many", "--quiet", "--sarif", str(out[3]), *wanted]
    assert main([*command, "--json"]) == main(command[:4]) == 1
    line, *table = capsys.readouterr().out.splitlines()
    told = json.loads(line)["submissions"]
    assert [(Path(a["path"]).name, a["verdict"]) for a in told] == [
        ("caf\ufffd", "flagged"),
        ("good", "clean"),
    ]
    assert any("good" in row and "clean" in row for row in table)
    assert all("good" in path.read_text(encoding="utf-8") for path in out[:3]) and "caf" in out[3].read_text()


def test_an_audit_that_cannot_be_sent_back_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "bad"):
        submission(tmp_path / name)
    monkeypatch.setattr(many, "_guarded", _unsendable)
    audits = {Path(a.path).name: a for a in audit_many(submissions(tmp_path), workers=1)}
    assert audits["a"].verdict == "clean" and audits["bad"].findings[0].rule == "rule-crashed"


def _unsendable(limits: tuple[bool, int], path: Path) -> Audit:
    return Audit(str(path), "clean", [], account={"x": (lambda: 0) if path.name == "bad" else 0})


def test_a_wrong_path_is_told_before_the_others_are_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("regrow.challenge.audit.one.audit_one", lambda *a: pytest.fail("work had begun"))
    good = submission(tmp_path / "good")
    for wrong in (tmp_path / "missing", "x" * 300):
        assert main(["audit", str(good), str(wrong)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_what_was_not_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regrow.challenge.audit.source.folder.MAX_FILES", 3)
    (found,) = [f for f in audit(submission(tmp_path / "a")).findings if f.rule == "read-in-part"]
    assert "files after the first 3" in found.message


def test_two_scripts_whose_names_are_not_utf8_are_both_judged(tmp_path: Path) -> None:
    for name, text in ((b"a\xfe.py", "def f(:\n"), (b"a\xff.py", "x = 1\n\ndef f(:\n")):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(text)
    assert sorted(f.line or 0 for f in audit(tmp_path).findings if f.rule == "unreadable-source") == [1, 3]


def test_a_log_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a", {"train.log": "val_bpb:1.1 \x1b[2J\x9b31m\n"}, val_bpb=1.0)
    text = report(audit(folder), every=True)
    assert "val_bpb:1.1" in text and "\x1b" not in text and "\x9b" not in text

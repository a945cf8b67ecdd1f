"""The audit's page: every finding with its rule and the source around it, foldable, filtered, and harmless."""

from __future__ import annotations

import base64
import hashlib
import lzma
from pathlib import Path

import pytest
from tests.html_page import Page

from regrow.challenge.audit.around import source_around
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.one import audit_one
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.table import to_html
from regrow.challenge.audit.verdict import Audit

BAD = (Path(__file__).parents[2] / "fixtures/audit/target-in-hash-key/example_bad.py").read_text()


def finding(rule: str = "byte-count", severity: str = "high", **changes: object) -> Finding:
    facts = {"confidence": "high", "file": "t.py", "line": 3, "message": "m", "evidence": ""} | changes
    return Finding(rule, severity, **facts)  # type: ignore[arg-type]


def test_a_finding_leads_to_its_rule_and_shows_the_marked_line_among_those_around_it(tmp_path: Path) -> None:
    script = tmp_path / "train_gpt.py"
    script.write_text("import os\n" * 30 + BAD)
    page = Page(to_html([audit := audit_one(script)]))
    assert page.is_complete()
    (grave,) = [f for f in audit.findings if f.severity != "low"]
    assert [a["href"] for a in page.all("a") if a["href"] == "#target-in-hash-key"]
    assert page.all("article", "rule")[0]["id"] == "target-in-hash-key"
    lines, evidence = source_around(audit)[grave]
    text = script.read_text().split("\n")
    assert [line.number for line in lines if line.mark == "here"] == [grave.line]
    assert all(line.text.strip() == text[line.number - 1].strip() for line in lines) and len(lines) == 9
    assert len(page.all("span", "step")) == 3 and evidence == [], "the steps of the flow stand in these lines"
    assert len(page.all("mark")) == 1 and len(page.all("span", "line")) == 9


def test_source_that_a_script_hides_is_shown_too(tmp_path: Path) -> None:
    packed = base64.b85encode(lzma.compress(BAD.encode())).decode()
    (tmp_path / "train_gpt.py").write_text(
        f"import lzma, base64\nexec(lzma.decompress(base64.b85decode({packed!r})))\n"
    )
    (hidden,) = [
        (f, a) for f, a in source_around(audit_one(tmp_path)).items() if f.rule == "target-in-hash-key"
    ]
    assert "!layer1" in hidden[0].file
    assert any(line.mark == "here" and "np.log" in line.text for line in hidden[1].lines)


def test_where_the_source_cannot_be_shown_the_evidence_is(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("a = 1\n" + "x = 1; " * 9000 + "\n")
    long = finding(file=str(tmp_path / "long.py"), line=2, evidence="2: … x = 7 …")
    gone = finding(file=str(tmp_path / "gone.py"), line=2, evidence="2: y = 3")
    beyond = finding(file=str(tmp_path / "long.py"), line=99, evidence="")
    audit = Audit(str(tmp_path), "flagged", [long, gone, beyond])
    around = source_around(audit)
    assert around[long].evidence == ["2: … x = 7 …"] and all(
        len(line.text) < 200 for line in around[long].lines
    )
    assert around[gone] == ([], ["2: y = 3"]) and around[beyond] == ([], [])
    assert source_around(Audit(str(tmp_path / "none"), "flagged", [gone]))[gone].evidence == ["2: y = 3"]
    assert "x = 7" in to_html([audit]) and "y = 3" in to_html([audit])


def test_headings_folds_and_a_filter_that_only_a_script_shows() -> None:
    audits = [
        Audit("b", "clean", [finding(severity="low")]),
        Audit("a", "flagged", [finding(), finding(confidence="low"), finding(severity="low")]),
    ]
    page = Page(to_html(audits))
    assert [tag for tag, _ in page.elements if tag in ("h1", "h2")] == ["h1", "h2", "h2", "h2"]
    assert [a["id"] for a in page.all("section")] == ["flagged", "clean", "rules"], "the gravest come first"
    assert len(page.all("details", "submission")) == 2 and len(page.all("details", "low")) == 2
    assert not any("open" in a for a in page.all("details")) and "summary::before" in page.style
    assert [a["data-level"] for a in page.all("article", "finding")] == ["high", "medium", "low", "low"]
    assert "hidden" in page.all("form", "filter")[0], (
        "without the script there is no filter, and all is shown"
    )
    assert not any("hidden" in a for a in page.all("article"))
    assert "open" in Page(to_html(audits[:1])).all("details", "submission")[0]


def test_a_failed_probe_is_on_the_page() -> None:
    page = Page(to_html([Audit("a", "flagged", [], [ProbeResult("code-length", "failed", "too short")])]))
    assert "too short" in page.words and page.all("tr", "failed")
    assert [a["id"] for a in page.all("article", "rule")] == ["code-length"]


@pytest.mark.parametrize(
    "evil", ["<img src=x onerror=1>", "</script><script>alert(1)</script>", "\"' onload='x"]
)
def test_what_a_submission_holds_stays_text(tmp_path: Path, evil: str) -> None:
    (tmp_path / "t.py").write_text(f"a\nb\n{evil}\x1b[2J\n")
    found = finding(rule=evil, file=str(tmp_path / "t.py"), message=evil, evidence=evil)
    page = Page(to_html([Audit(str(tmp_path), "flagged", [found], account={"bytes": {"total": 1}})]))
    assert page.is_complete() and len(page.all("script")) == 1 and "alert" not in page.script
    assert page.words.count(evil) >= 5 and "\x1b" not in page.words
    assert not any(key.startswith("on") for _, a in page.elements for key in a)
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy

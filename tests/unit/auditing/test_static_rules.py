"""Every rule flags its bad examples under its own name, and nothing above low is said of the mended twins."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.challenge.audit.finding import Rule
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rules import RULES
from regrow.challenge.audit.rules.pages import pages
from regrow.challenge.audit.static import program_findings, static_findings

REPOSITORY = Path(__file__).parents[3]
FIXTURES = REPOSITORY / "tests" / "fixtures" / "audit"
BAD = sorted(FIXTURES.glob("*/*_bad.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_a_rule_flags_its_own_bad_example_and_clears_its_good_one(rule: Rule) -> None:
    bad = program_findings(Program.from_text(rule.bad))
    assert [f for f in bad if f.rule == rule.id and f.severity == rule.severity], bad
    good = program_findings(Program.from_text(rule.good))
    assert [f for f in good if f.severity != "low" or f.rule == rule.id] == []


@pytest.mark.parametrize("path", BAD, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_bypass_is_flagged_by_the_rule_it_names(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "train_gpt.py"
    script.write_bytes(path.read_bytes())
    grave = next(r.severity for r in RULES if r.id == path.parent.name)
    found = [f for f in static_findings(script) if f.rule == path.parent.name and f.severity == grave]
    assert found
    assert all(f.line is not None and f.evidence for f in found)


@pytest.mark.parametrize("path", BAD, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_the_mended_twin_has_nothing_above_low(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "train_gpt.py"
    script.write_bytes(path.with_name(path.name.replace("_bad", "_good")).read_bytes())
    assert [f for f in static_findings(script) if f.severity != "low"] == []


def test_rule_identifiers_are_unique_and_every_source_visible_case_has_a_rule() -> None:
    assert len({r.id for r in RULES}) == len(RULES)
    cases = {c for r in RULES for c in r.cases}
    # 22-24 are accounting and record checks, judged from logs and submission.json.
    assert cases >= set(range(1, 22)) | {25, 26}


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_rule_pages_in_the_docs_are_current(name: str) -> None:
    assert (REPOSITORY / "docs" / "audit" / "rules" / name).read_text(encoding="utf-8") == pages()[name]


def test_no_page_is_left_of_a_rule_that_is_gone() -> None:
    assert {p.name for p in (REPOSITORY / "docs" / "audit" / "rules").glob("*.md")} == set(pages())


def test_a_rule_that_crashes_is_a_finding() -> None:
    def broken(program: Program) -> object:
        raise ZeroDivisionError("oops")

    rule = RULES[0]
    crashing = Rule(**{**{f: getattr(rule, f) for f in rule.__dataclass_fields__}, "check": broken})
    found = program_findings(Program.from_text("x = 1\n"), [crashing])
    assert [f.rule for f in found] == ["rule-crashed"]
    assert "oops" in found[0].message

"""Every rule flags its bad examples under its own name, and nothing above low is said of the mended twins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from regrow.challenge.audit import rules
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import Rule, SourceRule
from regrow.challenge.audit.rules import RULES
from regrow.challenge.audit.source.sources import Sources
from regrow.challenge.audit.static import program_findings, static_findings

REPOSITORY = Path(__file__).parents[3]
FIXTURES = REPOSITORY / "tests" / "fixtures" / "audit"
PAGES = REPOSITORY / "docs" / "audit" / "rules"
BAD = sorted(FIXTURES.glob("*/*_bad.py"))


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


def test_rule_identifiers_are_unique() -> None:
    assert len({r.id for r in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_a_rule_has_its_file_its_example_and_a_page_that_says_the_same(rule: Rule) -> None:
    page = (PAGES / f"{rule.id}.md").read_text(encoding="utf-8")
    for which in ("bad", "good"):
        example = (FIXTURES / rule.id / f"example_{which}.py").read_text(encoding="utf-8")
        assert f"```python\n{example.strip()}\n```" in page
    breaks = ", ".join(re.findall(r"(?m)^- condition (\d):", page)) or "-"
    row = f"| [`{rule.id}`]({rule.id}.md) | {rule.title} | {rule.severity} | {breaks} |"
    assert row in (PAGES / "README.md").read_text(encoding="utf-8")
    assert (Path(rules.__file__).parent / f"{rule.id.replace('-', '_')}.py").is_file()


def test_no_page_file_or_example_is_left_of_a_rule_that_is_gone() -> None:
    ids = {r.id for r in RULES}
    assert {p.stem for p in PAGES.glob("*.md")} == ids | {"README"}
    assert {p.name for p in FIXTURES.iterdir()} == ids
    files = {p.stem.replace("_", "-") for p in Path(rules.__file__).parent.glob("*.py")}
    assert files == ids | {"--init--"}


def test_a_rule_that_crashes_is_a_finding() -> None:
    def broken(program: Program) -> Iterator[Finding]:
        raise ZeroDivisionError("oops")

    crashing = SourceRule(
        id="x", title="", why="", clears="", severity="high", confidence="high", search=broken
    )
    found = program_findings(Program(Sources(Path())), [crashing])
    assert [f.rule for f in found] == ["rule-crashed"]
    assert "oops" in found[0].message

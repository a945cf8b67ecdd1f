"""Each of the 26 known ways to be wrong is covered by something that exists, and has examples of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from regrow.challenge.audit.index import identifiers
from regrow.challenge.audit.kinds import KINDS, Kind
from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.record.checks import CHECKS
from regrow.challenge.audit.rules import RULES

REPOSITORY = Path(__file__).parents[3]
DOCS, FIXTURES = REPOSITORY / "docs" / "audit", REPOSITORY / "tests" / "fixtures" / "audit"
RECORD_TESTS = REPOSITORY / "tests" / "unit" / "auditing_dynamic" / "test_record_checks.py"


def test_the_kinds_are_the_26_of_the_list_in_order() -> None:
    assert [kind.number for kind in KINDS] == list(range(1, 27))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_is_covered_by_rules_checks_or_probes_that_exist(kind: Kind) -> None:
    rules = [rule.id for rule in RULES if kind.number in rule.cases]
    assert rules or kind.checks
    assert set(kind.checks) <= {check.id for check in CHECKS}
    assert set(kind.probes) <= {probe.id for probe in PROBES}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_has_fixture_pairs_or_record_tests(kind: Kind) -> None:
    rules = [rule.id for rule in RULES if kind.number in rule.cases]
    if rules:
        assert all(list((FIXTURES / rule).glob("*_bad.py")) for rule in rules)
    else:
        text = RECORD_TESTS.read_text(encoding="utf-8")
        assert all(f'"{check}"' in text for check in kind.checks)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_has_its_row_in_the_page(kind: Kind) -> None:
    """What was done, and the rules, checks and probes that speak about it."""
    page = (DOCS / "kinds.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| {kind.number} \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", page)
    rules = [f"[{rule.id}](rules/{rule.id}.md)" for rule in RULES if kind.number in rule.cases]
    checks, probes = ([f"`{name}`" for name in names] for names in (kind.checks, kind.probes))
    assert row == (kind.what, *(", ".join(names) or "-" for names in (rules, checks, probes)))


def test_every_check_probe_and_note_has_its_section_in_the_page() -> None:
    """Rules have pages of their own. No section is left of one that is gone, and each says what clears it."""
    page = (DOCS / "checks.md").read_text(encoding="utf-8")
    sections = re.findall(r"(?m)^### `([\w-]+)`: (.+)\n\n((?:[^#\n].*\n*)+)", page)
    rules = {rule.id for rule in RULES}
    wanted = [(known.id, known.title) for known in identifiers() if known.id not in rules]
    assert [(name, title) for name, title, _ in sections] == wanted
    assert all("*To clear:* " in text for _, _, text in sections)

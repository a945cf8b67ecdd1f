"""Each of the 26 known ways to be wrong is covered by something that exists, and has examples of its own."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from regrow.challenge.audit.kinds import KINDS, Kind
from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.record.checks import CHECKS
from regrow.challenge.audit.rules import RULES

REPOSITORY = Path(__file__).parents[3]
MAKER = runpy.run_path(str(REPOSITORY / "docs" / "make_audit_checks.py"))
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
        assert all(MAKER["spellings"](rule) for rule in rules)
    else:
        text = RECORD_TESTS.read_text(encoding="utf-8")
        assert all(f'"{check}"' in text for check in kind.checks)


def test_the_page_of_kinds_is_the_one_that_rules_checks_and_probes_make() -> None:
    page = REPOSITORY / "docs" / "audit" / "kinds.md"
    assert page.read_text(encoding="utf-8") == MAKER["kinds_page"]()

"""Each of the 26 known ways to be wrong is covered by something that exists, and has examples of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from regrow.challenge.audit.index import identifiers
from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.record.checks import CHECKS
from regrow.challenge.audit.rules import RULES

REPOSITORY = Path(__file__).parents[3]
DOCS, FIXTURES = REPOSITORY / "docs" / "audit", REPOSITORY / "tests" / "fixtures" / "audit"
RECORD_TESTS = REPOSITORY / "tests" / "unit" / "auditing_dynamic" / "test_record_checks.py"


@dataclass(frozen=True)
class Kind:
    """One way in which a published figure was wrong: its number, what was done, and the ids of what finds it."""

    number: int
    what: str
    rules: tuple[str, ...]
    checks: tuple[str, ...]
    probes: tuple[str, ...]


_NO_ROW = ("sum-over-vocabulary", "change-target", "code-length")
_EARLY = ("change-target", "change-future")

KINDS = (
    Kind(
        1,
        "a joint count read from a hash, for the target alone",
        ("target-in-hash-key",),
        ("below-known-floor",),
        _NO_ROW,
    ),
    Kind(
        2,
        "joint over context count, the target in the hash key",
        ("target-in-hash-key",),
        ("below-known-floor",),
        _NO_ROW,
    ),
    Kind(
        3,
        "all tokens gathered, and divided by the wrong sum",
        ("target-in-hash-key",),
        ("below-known-floor",),
        _NO_ROW,
    ),
    Kind(
        4,
        "a Dirichlet posterior over hashed counts",
        ("target-in-hash-key",),
        ("below-known-floor",),
        _NO_ROW,
    ),
    Kind(
        5,
        "a learned gate over packed hashed tables",
        ("target-dependent-gate", "target-in-hash-key", "target-in-native-code"),
        ("below-known-floor",),
        _NO_ROW,
    ),
    Kind(
        6,
        "the better of two models, chosen by the target",
        ("better-of-two",),
        (),
        ("sum-over-vocabulary", "change-target"),
    ),
    Kind(7, "the leading space counted twice", ("byte-count",), ("bytes-per-token",), ("count-bytes",)),
    Kind(
        8,
        "a marker of spaces that the vocabulary does not use",
        ("byte-count",),
        ("bytes-per-token",),
        ("count-bytes",),
    ),
    Kind(9, "U+FFFD counted for a lone byte", ("byte-count",), ("bytes-per-token",), ("count-bytes",)),
    Kind(10, "a vocabulary without a lone U+2581", ("byte-count",), ("bytes-per-token",), ("count-bytes",)),
    Kind(
        11,
        "targets clamped to a smaller vocabulary",
        ("targets-clamped",),
        ("vocabulary-smaller-than-tokenizer",),
        ("count-bytes",),
    ),
    Kind(12, "case folded away", ("lossy-text",), ("text-folded",), ()),
    Kind(
        13,
        "the byte sidecar off while the text is transformed",
        ("byte-sidecar-off",),
        ("bytes-per-token",),
        ("count-bytes",),
    ),
    Kind(14, "a part of the validation set", ("partial-validation",), ("validation-set-in-part",), ()),
    Kind(15, "training text that overlaps the validation text", ("train-on-validation",), (), ()),
    Kind(16, "training on validation text", ("train-on-validation",), (), _EARLY),
    Kind(17, "an offset optimised on the targets it then scores", ("offset-on-scored-targets",), (), _EARLY),
    Kind(
        18,
        "hints gated by a property of the target",
        ("target-dependent-gate", "target-in-native-code"),
        (),
        ("change-target", "sum-over-vocabulary"),
    ),
    Kind(
        19,
        "a token's probability spread over its bytes as p^(1/n)",
        ("byte-spreading",),
        (),
        ("sum-over-vocabulary", "code-length"),
    ),
    Kind(20, "state that leaks across documents", ("state-across-documents",), (), ("permute-documents",)),
    Kind(
        21,
        "text scored again after the model has learned it",
        ("rescored-after-adapting",),
        (),
        ("score-twice",),
    ),
    Kind(
        22,
        "over the cap, or code left out of the count",
        (),
        ("over-the-cap", "code-not-counted", "size-not-as-logged"),
        (),
    ),
    Kind(
        23, "a figure from another path of the code", (), ("headline-untraced", "headline-before-packing"), ()
    ),
    Kind(
        24,
        "seeds or settings mixed in one mean",
        (),
        ("settings-mixed", "headline-not-the-mean", "seed-counted-twice"),
        (),
    ),
    Kind(25, "a quantiser calibrated on validation text", ("calibrated-on-validation",), (), ()),
    Kind(
        26,
        "validation text inside the artifact",
        ("validation-in-artifact",),
        ("validation-text-in-artifact",),
        (),
    ),
)


def test_the_kinds_are_the_26_of_the_list_in_order() -> None:
    assert [kind.number for kind in KINDS] == list(range(1, 27))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_is_covered_by_rules_checks_or_probes_that_exist(kind: Kind) -> None:
    assert kind.rules or kind.checks
    assert set(kind.rules) <= {rule.id for rule in RULES}
    assert set(kind.checks) <= {check.id for check in CHECKS}
    assert set(kind.probes) <= {probe.id for probe in PROBES}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_has_fixture_pairs_or_record_tests(kind: Kind) -> None:
    if kind.rules:
        assert all(list((FIXTURES / rule).glob("*_bad.py")) for rule in kind.rules)
    else:
        text = RECORD_TESTS.read_text(encoding="utf-8")
        assert all(f'"{check}"' in text for check in kind.checks)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: str(k.number))
def test_a_kind_has_its_row_in_the_page(kind: Kind) -> None:
    """What was done, and the rules, checks and probes that speak about it."""
    page = (DOCS / "kinds.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| {kind.number} \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", page)
    rules = [f"[{rule}](rules/{rule}.md)" for rule in kind.rules]
    checks, probes = ([f"`{name}`" for name in names] for names in (kind.checks, kind.probes))
    assert row == (kind.what, *(", ".join(names) or "-" for names in (rules, checks, probes)))


def test_every_rule_is_about_some_kind_and_its_page_says_which() -> None:
    for rule in RULES:
        ways = ", ".join(str(kind.number) for kind in KINDS if rule.id in kind.rules)
        page = (DOCS / "rules" / f"{rule.id}.md").read_text(encoding="utf-8")
        head = f"`{rule.id}` · severity {rule.severity} · confidence {rule.confidence} · known ways {ways}\n"
        assert ways and page.startswith(f"# {rule.title}\n\n{head}")


def test_every_check_probe_and_note_has_its_section_in_the_page() -> None:
    """Rules have pages of their own. No section is left of one that is gone, and each says what clears it."""
    page = (DOCS / "checks.md").read_text(encoding="utf-8")
    sections = re.findall(r"(?m)^### `([\w-]+)`: (.+)\n\n((?:[^#\n].*\n*)+)", page)
    rules = {rule.id for rule in RULES}
    wanted = [(known.id, known.title) for known in identifiers() if known.id not in rules]
    assert [(name, title) for name, title, _ in sections] == wanted
    assert all("*To clear:* " in text for _, _, text in sections)

"""Which rules, checks and probes count: `--select` and `--ignore`, ids or beginnings of ids, as ruff has them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from regrow.challenge.audit.index import NOTES, groups, identifiers
from regrow.challenge.audit.subject import NOTHING
from regrow.challenge.audit.verdict import Audit, clearing, judge
from regrow.core.errors import ConfigError

ALL = "ALL"


def left_out(select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """The ids that a selection leaves out.

    Each word is an id, the beginning of some, or ALL; one string may hold several, split by commas. Of two words that
    fit an id the longer counts, of equal ones `ignore`. Notes of the audit about itself stay unless `ignore` names
    them, and `nothing-to-audit`, which is a verdict, always does.

    Raises:
        ConfigError: no id begins so.
    """
    chosen, dropped = _words(select, "--select"), _words(ignore, "--ignore")
    names = [one.id for one in identifiers() if one.id != NOTHING]
    notes = {note.id for note in NOTES}
    for words, option in ((chosen, "--select"), (dropped, "--ignore")):
        for word in words:
            matching(word, option, names)

    def out(name: str) -> bool:
        if name in notes or not chosen:
            return _fit(dropped, name) > (0 if name in notes else -1)
        return _fit(chosen, name) <= _fit(dropped, name)

    return frozenset(filter(out, names))


def matching(word: str, option: str, names: list[str]) -> list[str]:
    """The names that `word` means. Raises ConfigError, with the nearest, where there is none."""
    found = [name for name in names if word == ALL or name.startswith(word)]
    if not found:
        near = [name for name in names if len(word) > 2 and word in name]
        near = near or difflib.get_close_matches(word, names, 3, 0.5)
        hint = f"did you mean {', '.join(near[:3])}" if near else "`regrow audit --list-rules` shows all"
        raise ConfigError(f"{option} {word}: no id of the audit begins so; {hint}.")
    return found


def described_ids(word: str | None = None) -> list[dict[str, str | None]]:
    """What is known of every id, or of those that `word` means.

    Returns:
        id, kind (rule, check, probe, note), title, why, clears; of rules severity and confidence of a finding whose
        flow is established, else None.

    Raises:
        ConfigError: no id begins so.
    """
    names = [one.id for one in identifiers()]
    wanted = names if word is None else matching(word, "--explain", names)
    told = ("title", "why", "clears", "severity", "confidence")
    return [
        {"id": one.id, "kind": kind, **{key: getattr(one, key, None) for key in told}}
        for kind, group in groups().items()
        for one in group
        if one.id in wanted
    ]


def narrowed(audit: Audit, out: frozenset[str]) -> Audit:
    """The audit without what is left out, judged anew."""
    if not out:
        return audit
    findings = [finding for finding in audit.findings if finding.rule not in out]
    probes = [result for result in audit.probes if result.probe not in out]
    return msgspec.structs.replace(
        audit,
        verdict=judge(findings, probes),
        findings=findings,
        probes=probes,
        clears=clearing(findings, probes),
        left_out=sorted(out),
    )


def _words(given: Iterable[str], option: str) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    words = [word.strip() for text in texts for word in text.split(",")]
    if not all(words):
        raise ConfigError(f"{option}: an id is empty; write ids, or how they begin, with commas between.")
    return words


def _fit(words: list[str], name: str) -> int:
    """Letters of the longest word that `name` begins with; -1 where there is none."""
    fits = ["" if word == ALL else word for word in words if word == ALL or name.startswith(word)]
    return max(map(len, fits), default=-1)

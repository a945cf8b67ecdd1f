"""Is there anything to judge? An empty folder, a picture or somebody's library is neither clean nor suspect."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.record import Record
from regrow.challenge.audit.source.folder import Folder

NOTHING = "nothing-to-audit"

#: What a script says that trains or scores a language model.
_SCORES = re.compile(
    r"bpb|bits.per.byte|cross_entropy|log_?softmax|\bnll|val_loss|perplexity|log_?prob", re.IGNORECASE
)
#: What a script says that hides one.
_HIDES = re.compile(r"\bexec\(|decompress\(")
_ENTRY = re.compile(r"^(train|submission|eval|run)[\w.-]*\.py$")
#: Findings about reading: any code may have them, a scorer or not.
_OF_READING = {
    "hidden-source",
    "unreadable-source",
    "rule-crashed",
    "not-followed",
    "read-in-part",
    "claims-unreadable",
}


def nothing_to_audit(folder: Folder, record: Record | None, findings: Iterable[Finding]) -> list[Finding]:
    """The finding that says so, where a folder or a script holds no claim, no figure and no scorer.

    Args:
        folder: what was read. record: the same as a submission's record; None for a single script.
        findings: what was found; one of them that is about a score has found its scorer.
    """
    findings = list(findings)
    judged = any(f.severity != "low" and f.rule not in _OF_READING for f in findings)
    unread = {f.file for f in findings if f.rule == "unreadable-source" and f.severity != "low"}
    if judged or (record is not None and _claims(record)) or _scripts(folder, unread):
        return []
    what = (
        "Python script that trains or scores a language model"
        if folder.script
        else "submission.json, no log with a bits-per-byte figure, no script that trains or scores a language model"
    )
    beneath = sum(p.name == "submission.json" for p in folder.files)
    if beneath:
        hint = f"with --many its {beneath} submissions are audited"
    elif any(p.suffix == ".ipynb" for p in ([folder.script] if folder.script else folder.files)):
        hint = "a notebook is not read, save it as a script"
    else:
        hint = "give a script, a submission folder or a regrow artifact"
    return [nothing(folder.script or folder.root, f"no {what}; {hint}")]


def nothing(path: Path, why: str) -> Finding:
    """The finding that there is nothing to judge at `path`."""
    return Finding(NOTHING, "low", "high", str(path), None, f"This holds nothing to judge: {why}.", "")


def _claims(record: Record) -> bool:
    """Whether anything is claimed or was measured."""
    readme = record.headline is not None and "val_bpb" in record.readme.text.lower()
    claims = bool(record.claims.values) or "bpb" in record.claims.text
    return claims or readme or any(log.readings or log.odd for log in record.logs)


def _scripts(folder: Folder, unread: set[str]) -> bool:
    """Whether a script that would be run scores a language model, hides what it does, or cannot be read."""
    for path in [*folder.files, *folder.broken]:
        top = path.parent == folder.root and path.suffix == ".py"
        entry = path == folder.script if folder.script else top and _ENTRY.match(path.name)
        if not (entry or (top and not folder.script) or path.name == "train_gpt.py"):
            continue
        text = _text(folder, path)
        if _SCORES.search(text) and path.suffix == ".py":
            return True
        if entry and (folder.name(path) in unread or (path.suffix == ".py" and _HIDES.search(text))):
            return True
    return False


def _text(folder: Folder, path: Path) -> str:
    try:
        return folder.text(path)[0] if path in folder.files else ""
    except OSError:
        return ""

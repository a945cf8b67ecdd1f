"""Is there anything to judge? An empty folder, a picture or somebody's web site is neither clean nor suspect."""

from __future__ import annotations

import re
from pathlib import Path

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.record import Record
from regrow.challenge.audit.source.folder import Folder

NOTHING = "nothing-to-audit"

#: What a script says that trains or scores a language model, or hides one.
_SCORES = re.compile(
    r"bpb|bits.per.byte|cross_entropy|log_?softmax|\bnll|val_loss|perplexity|log_?prob|\bexec\(|decompress\(",
    re.I,
)


def nothing_to_audit(folder: Folder, record: Record | None) -> list[Finding]:
    """The finding that says so, where a folder or a script holds no claim, no figure and no scorer.

    Args:
        folder: what was read. record: the same as a submission's record; None for a single script.
    """
    if _scripts(folder) or (record is not None and _claims(record)):
        return []
    given = folder.script or folder.root
    what = (
        "Python script that trains or scores a language model"
        if folder.script
        else "submission.json, no log with a bits-per-byte figure, no script that trains or scores a language model"
    )
    notebook = any(p.suffix == ".ipynb" for p in ([folder.script] if folder.script else folder.files))
    beneath = sum(p.name == "submission.json" for p in folder.files)
    if beneath:
        hint = f"with --many its {beneath} submissions are audited"
    elif notebook:
        hint = "a notebook is not read, save it as a script"
    else:
        hint = "give a script, a submission folder or a regrow artifact"
    message = f"This holds nothing to judge: no {what}; {hint}."
    return [Finding(NOTHING, "low", "high", str(given), None, message, "")]


def _claims(record: Record) -> bool:
    """Whether anything is claimed or was measured."""
    readme = record.headline is not None and "val_bpb" in record.readme.text.lower()
    claims = bool(record.claims.values) or "bpb" in record.claims.text
    return claims or readme or any(log.readings or log.odd for log in record.logs)


def _scripts(folder: Folder) -> bool:
    """Whether a script that would be run scores a language model."""
    return any(_SCORES.search(_text(folder, path)) for path in folder.files if _is_entry(folder, path))


def _is_entry(folder: Folder, path: Path) -> bool:
    if folder.script is not None:
        return path == folder.script and path.suffix == ".py"
    return path.name == "train_gpt.py" or (path.parent == folder.root and path.suffix == ".py")


def _text(folder: Folder, path: Path) -> str:
    try:
        return folder.text(path)[0]
    except OSError:
        return ""

"""Reads what a script is made of: its own text, the helpers it reaches, and the layers it hides, without running any.

Whatever cannot be read is a finding, never an exception: syntax errors, null bytes, other encodings, huge files, links
that lead nowhere, nesting too deep to parse, decompression bombs.
"""

from __future__ import annotations

import re
from pathlib import Path

from regrow.challenge.audit.source.folder import MAX_BYTES, Folder, read_folder
from regrow.challenge.audit.source.imports import Siblings, reached
from regrow.challenge.audit.source.layers import open_layers
from regrow.challenge.audit.source.sources import Sources, add_unit
from regrow.challenge.audit.source.text import wrongly_declared
from regrow.challenge.audit.source.unit import Role, Unit

#: Limits on what is read.
MAX_SOURCES = 300
MAX_LOG_CHARS = 8_000_000
MAX_ENTRIES = 40

_ENTRY = re.compile(r"^(train|submission|eval|run)[\w.-]*\.py$")
_LOGS, _NOTES = (".log", ".txt", ".out"), (".md", ".sh", ".json")
_SUFFIXES = {".py", ".c", ".cc", ".cpp", ".cu", ".h", *_LOGS, *_NOTES}


def read_sources(where: Path | Folder) -> Sources:
    """Read a script (with the siblings it reaches) or a submission folder."""
    try:
        folder = where if isinstance(where, Folder) else read_folder(where)
    except OSError as error:
        sources = Sources(Path(str(where)))
        sources.unreadable(str(where), f"The folder cannot be read: {error}.")
        return sources
    sources = Sources(folder.root)
    for path in folder.broken:
        message = (
            "This is not a plain file: a link that leads nowhere, round in a circle or out of the folder."
        )
        sources.unreadable(folder.name(path), message)
    paths = [p for p in folder.files if p.suffix.lower() in _SUFFIXES]
    paths = [p for p in paths if p.suffix != ".json" or p.name == "submission.json"]
    for path in paths[:MAX_SOURCES]:
        _read(path, folder, sources)
    if len(paths) > MAX_SOURCES:
        folder.drop(f"source files after the first {MAX_SOURCES}")
    _mark_roles(folder, sources)
    if folder.script is not None:
        sources.unread.clear()
    open_layers(sources)
    return sources


def _read(path: Path, folder: Folder, sources: Sources) -> None:
    name, suffix = folder.name(path), path.suffix.lower()
    if folder.files[path] > MAX_BYTES:
        sources.unreadable(name, "The file is too large to read.")
        return
    try:
        text, encoding = folder.text(path)
    except OSError as error:
        sources.unreadable(name, f"The file cannot be read: {error}.")
        return
    if suffix == ".py":
        if encoding == "latin-1" or encoding.startswith("utf-16"):
            sources.unreadable(name, f"The file is not UTF-8; it was read as {encoding}.", severity="low")
        if declared := wrongly_declared(text, encoding):
            message = (
                f"The file declares the encoding {declared}, which it does not have; Python would refuse it."
            )
            sources.unreadable(name, message)
        sources.unread[name] = text
    elif suffix in _LOGS:
        left = MAX_LOG_CHARS - len(sources.logs)
        if len(text) > left:
            folder.drop(f"switches in logs beyond {MAX_LOG_CHARS:,} characters")
        sources.logs += "\n" + "\n".join(line.strip() for line in text[: max(0, left)].split("\n"))
    elif suffix in _NOTES:
        sources.notes[name] = text
    else:
        sources.foreign[name] = text


def _mark_roles(folder: Folder, sources: Sources) -> None:
    """Parse the entries and whatever they reach; the rest stays unread."""
    names = {path: folder.name(path) for path in folder.files}
    scripts = [path for path, name in names.items() if name in sources.unread]
    top = [path for path in scripts if path.parent == folder.root]
    if folder.script is not None:
        entries = [path for path in scripts if path == folder.script]
    else:
        named = [p for p in top if p.name == "train_gpt.py"] or [p for p in top if _ENTRY.match(p.name)]
        entries = named or top or scripts
    if len(entries) > MAX_ENTRIES:
        folder.drop(f"scripts after the first {MAX_ENTRIES}")
    siblings = Siblings(scripts)

    def parsed(path: Path, role: Role) -> Unit | None:
        text = sources.unread.pop(names[path], None)
        return add_unit(sources, names[path], path.stem, text, role) if text is not None else None

    units = {path: parsed(path, "entry") for path in entries[:MAX_ENTRIES]}

    def needs(path: Path) -> list[Path]:
        unit = units[path] if path in units else parsed(path, "reached")
        if unit is None or siblings.alone:
            return []
        return [file for files in siblings.needed(unit.tree) for file in files]

    reached(units, needs)

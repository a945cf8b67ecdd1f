"""What a submission weighs: its code as it lies there, its model as the logs behind the headline print it."""

from __future__ import annotations

import base64
import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regrow.challenge.audit.record.logs import Noted, TrainingLog
from regrow.challenge.audit.source.folder import Folder
from regrow.challenge.audit.source.imports import Siblings, reached
from regrow.challenge.audit.source.sources import parse
from regrow.challenge.facts import LIMIT_BYTES

#: A 'serialized model' larger than this is the raw checkpoint, not the artifact.
_RAW_ABOVE = 2 * LIMIT_BYTES
_CODE = (".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".so", ".pyx", ".rs")
_PARSE_AT_MOST = 3_000_000
_PACKED = re.compile(
    r"int\d|zlib|lzma|zstd|brotli|quant|\+|xz|packed|compressed|ternary|binary", re.IGNORECASE
)
_PREPARES_DATA = re.compile(
    r"prepare|download|tokeniz|retoken|verify|sweep|test_|_test|setup|analy|plot|bench"
)


@dataclass(frozen=True)
class Size:
    """Bytes of a submission.

    Attributes:
        script: the script that is run, or None.
        files: every local code file that the script needs, itself first -> bytes.
        code: their sum.
        packed: the same code as one would ship it at its smallest: LZMA, base85 (what 'compressed code' counts).
        model: the largest compressed model printed by the logs behind the headline, or None.
        total: the largest total printed by those logs for the final model, with its log, or None.
    """

    script: Path | None
    files: dict[Path, int]
    code: int
    packed: int
    model: int | None
    total: tuple[TrainingLog, Noted] | None


def main_script(folder: Folder) -> Path | None:
    """The script a submission is run with: train_gpt.py, else the largest top-level one that trains."""
    top = [p for p in folder.files if p.suffix == ".py" and p.parent == folder.root]
    for name in ("train_gpt.py", "submission.py", "train.py"):
        for path in top:
            if path.name == name:
                return path
    trains = [p for p in top if p.name.startswith("train")]
    trains = trains or [p for p in top if not _PREPARES_DATA.search(p.name)]
    return max(trains or top, key=lambda p: (folder.files[p], p.name), default=None)


def needed_files(folder: Folder, script: Path) -> dict[Path, int]:
    """The local code a script needs: what it imports and what its strings name, path -> bytes."""
    siblings = Siblings(p for p in folder.files if p.suffix in _CODE)

    def needs(path: Path) -> list[Path]:
        if path.suffix != ".py" or siblings.alone:
            return []
        if folder.files[path] > _PARSE_AT_MOST:
            folder.drop(f"what {folder.name(path)} imports")
            return []
        try:
            return [files[0] for files in siblings.needed(parse(folder.text(path)[0]))]
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            return []  # the reader of sources says so

    return {path: folder.files[path] for path in reached([script], needs)}


def weigh(folder: Folder, logs: Sequence[TrainingLog]) -> Size:
    """Weigh a folder's code, and the model that some of its logs print."""
    script = main_script(folder)
    files = needed_files(folder, script) if script else {}
    text = b"".join(p.read_bytes() for p in files if p.suffix != ".so")[:_PARSE_AT_MOST]
    raw = lzma.compress(text, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    models = [
        _least_packed(n) for log in logs if (n := [n for n in log.model if 10_000 < n.value < _RAW_ABOVE])
    ]
    totals = [(log, _least_packed(n)) for log in logs if (n := [n for n in log.totals if n.value > 10_000])]
    code = sum(files.values())
    return Size(
        script=script,
        files=files,
        code=code,
        packed=min(len(base64.b85encode(raw)), code),
        model=max((note.value for note in models), default=None),
        total=max(totals, key=lambda held: held[1].value, default=None),
    )


def _least_packed(notes: list[Noted]) -> Noted:
    """The smallest of the sizes whose line names a packing; of all where none does."""
    return min([n for n in notes if _PACKED.search(n.text)] or notes, key=lambda n: n.value)

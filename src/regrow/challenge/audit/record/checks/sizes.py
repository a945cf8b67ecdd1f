"""The byte budget: code and model as the rules count them, logged against what lies in the folder."""

from __future__ import annotations

import ast
import base64
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.logs import Noted, RunLog
from regrow.challenge.audit.record.records import Check, Record, headline, number
from regrow.challenge.audit.record.trace import short, trace

#: The challenge's limit on code plus compressed model, in decimal bytes.
LIMIT = 16_000_000

#: A 'serialized model' larger than this is the raw checkpoint, not the artifact.
_RAW_ABOVE = 2 * LIMIT
#: Compressed code can be made smaller still than our LZMA of it (minified, another coder): below this share
#: the sum proves nothing.
_CERTAIN = 1.003

_CODE = (".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".so", ".pyx", ".rs")
_PARSE_AT_MOST = 3_000_000
_PACKED = re.compile(
    r"int\d|zlib|lzma|zstd|brotli|quant|\+|xz|packed|compressed|ternary|binary", re.IGNORECASE
)
_PREPARES_DATA = re.compile(
    r"prepare|download|tokeniz|retoken|verify|sweep|test_|_test|setup|analy|plot|bench"
)


@dataclass(frozen=True)
class Counted:
    """What a submission weighs, in bytes.

    Attributes:
        script: the script that is run, or None.
        files: every local code file that the script needs, itself first -> bytes.
        code: their sum.
        packed: the same code as one would ship it at its smallest: LZMA, base85 (what 'compressed code'
            counts).
        model: the largest compressed model printed by the logs behind the headline, or None.
        total: the largest total printed by those logs for the final model, or None.
    """

    script: Path | None
    files: dict[Path, int]
    code: int
    packed: int
    model: int | None
    total: Noted | None
    total_log: RunLog | None


def main_script(record: Record) -> Path | None:
    """The script a submission is run with: train_gpt.py, else the largest top-level one that trains."""
    top = [p for p in record.files if p.suffix == ".py" and p.parent == record.root]
    for name in ("train_gpt.py", "submission.py", "train.py"):
        for path in top:
            if path.name == name:
                return path
    trains = [p for p in top if p.name.startswith("train")] or [
        p for p in top if not _PREPARES_DATA.search(p.name)
    ]
    return max(trains or top, key=lambda p: (record.files[p], p.name), default=None)


def needed_files(record: Record, script: Path) -> dict[Path, int]:
    """The local code a script needs: what it imports and what its strings name, path -> bytes."""
    by_stem: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    for path in record.files:
        if path.suffix in _CODE:
            by_stem.setdefault(path.parent.name if path.name == "__init__.py" else path.stem, path)
            by_name.setdefault(path.name, path)
    needed = {script: record.files[script]}
    if len(by_name) == 1:
        return needed
    queue = [script]
    while queue:
        path = queue.pop()
        if path.suffix != ".py" or record.files[path] > _PARSE_AT_MOST:
            continue
        for target in _mentions(path, by_stem, by_name):
            if target not in needed:
                needed[target] = record.files[target]
                queue.append(target)
    return needed


def _mentions(path: Path, by_stem: dict[str, Path], by_name: dict[str, Path]) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 300:
            leaf = node.value.replace("\\", "/").rsplit("/", 1)[-1]
            if leaf in by_name:
                yield by_name[leaf]
        for name in names:
            if name in by_stem:
                yield by_stem[name]


def count(record: Record) -> Counted:
    """Weigh a submission: its code as it lies there, its model as the logs behind the headline print it."""
    if "count" not in record.memo:
        record.memo["count"] = _count(record)
    found: Counted = record.memo["count"]
    return found


def _count(record: Record) -> Counted:
    script = main_script(record)
    files = needed_files(record, script) if script else {}
    text = b"".join(p.read_bytes() for p in files if p.suffix != ".so")[:_PARSE_AT_MOST]
    packed = len(
        base64.b85encode(lzma.compress(text, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]))
    )
    lead = headline(record)
    found = trace(record, lead) if lead else None
    logs = [log for log, _ in found.used] if found else record.logs
    model: int | None = None
    total: Noted | None = None
    holder: RunLog | None = None
    for log in logs:
        plausible = [n for n in log.model if 10_000 < n.value < _RAW_ABOVE]
        if plausible:
            model = max(model or 0, _least_packed(plausible).value)
        totals = [n for n in log.totals if n.value > 10_000]
        if totals:
            least = _least_packed(totals)
            if total is None or least.value > total.value:
                total, holder = least, log
    code = sum(files.values())
    return Counted(script, files, code, min(packed, code) if code else 0, model, total, holder)


def _least_packed(notes: list[Noted]) -> Noted:
    """The smallest of the sizes whose line names a packing; of all where none does."""
    return min([n for n in notes if _PACKED.search(n.text)] or notes, key=lambda n: n.value)


def _over(record: Record) -> Iterator[Finding]:
    weighed = count(record)
    official = record.track != "non-record"
    claimed = _claimed_total(record)
    if weighed.total is not None and weighed.total_log is not None and weighed.total.value > LIMIT:
        real = (weighed.model or weighed.total.value) + weighed.packed
        certain = weighed.model is None or real > LIMIT
        official = official and headline(record) is not None
        yield OVER.finding(
            "high" if certain and official else "medium" if certain else "low",
            "high" if certain else "medium",
            (weighed.total_log.path, weighed.total.line),
            f"The log behind the headline prints {weighed.total.value:,} bytes, "
            f"{weighed.total.value - LIMIT:,} over the limit of "
            f"{LIMIT:,}" + ("." if certain else f"; with its code compressed it would be {real:,}."),
            weighed.total.text,
        )
    elif claimed is not None and claimed[0] > LIMIT:
        yield OVER.finding(
            "high" if official else "medium",
            "medium",
            (record.claims_path, claimed[1]),
            f"The submission itself states {claimed[0]:,} bytes, over the limit of {LIMIT:,}.",
            claimed[2],
        )
    elif weighed.model is not None and weighed.code and weighed.model + weighed.code > LIMIT:
        least = weighed.model + weighed.packed
        yield OVER.finding(
            ("high" if official else "medium") if least > LIMIT * _CERTAIN else "low",
            "medium",
            (weighed.script, None),
            f"Model {weighed.model:,} + code as it lies here {weighed.code:,} = "
            f"{weighed.model + weighed.code:,} bytes, over the limit "
            f"of {LIMIT:,}; with the code compressed {least:,}.",
            "\n".join(f"{short(p, record.root)}: {size:,} bytes" for p, size in weighed.files.items()),
        )


def _claimed_total(record: Record) -> tuple[int, int | None, str] | None:
    for key in ("bytes_total", "artifact_bytes_max", "artifact_bytes", "artifact_size_bytes"):
        value = number(record.claims.get(key))
        if value is not None and value > 10_000:
            return int(value), *record.claim_line(f'"{key}"')
    return None


def _disagrees(record: Record) -> Iterator[Finding]:
    weighed = count(record)
    claimed = _claimed_total(record)
    total, log = weighed.total, weighed.total_log
    if claimed and total and log and total.value > claimed[0] * 1.002 + 2_000:
        yield STATED.finding(
            "low",
            "high",
            (record.claims_path, claimed[1]),
            f"{claimed[0]:,} bytes are claimed, but a log behind the headline prints {total.value:,}.",
            f"{claimed[2]}\n{short(log.path, record.root)}:{total.line}: {total.text}",
        )


def _uncounted(record: Record) -> Iterator[Finding]:
    weighed = count(record)
    logged = [n.value for log in record.logs for n in log.code]
    helpers = {p: s for p, s in weighed.files.items() if p != weighed.script}
    if weighed.script and logged and weighed.code > max(logged) * 1.1 + 500:
        yield UNCOUNTED.finding(
            "low",
            "medium",
            (weighed.script, None),
            f"The logs count {max(logged):,} bytes of code, but the script and the {len(helpers)} local "
            "file(s) it needs make "
            f"{weighed.code:,}"
            + (f" ({weighed.packed:,} compressed)." if weighed.packed < max(logged) * 1.2 else "."),
            "\n".join(f"{short(p, record.root)}: {size:,} bytes" for p, size in weighed.files.items()),
        )


OVER = Check(
    id="over-the-cap",
    title="Code and model exceed the byte limit",
    why="The limit is the challenge: a larger artifact is another league.",
    clears="A log whose total, with every local file the script needs, is within 16,000,000 decimal bytes.",
    run=_over,
)
STATED = Check(
    id="size-not-as-logged",
    title="The size claimed is not the size logged",
    why="A size nobody can find in a log cannot be held against the limit.",
    clears="Quote the total of the log that the headline comes from.",
    run=_disagrees,
)
UNCOUNTED = Check(
    id="code-not-counted",
    title="Code that the script needs was not counted",
    why="The rules count every byte of code that runs; helpers and unpacked source are part of it.",
    clears="Count the files listed, or ship the script in the form that was counted.",
    run=_uncounted,
)
CHECKS = (OVER, STATED, UNCOUNTED)

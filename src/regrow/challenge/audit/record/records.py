"""A submission folder as a record: what it claims (submission.json, README) and what it shows (logs,
scripts).

Nothing is executed, symbolic links are not followed, and every file is read up to a bound.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow.challenge.audit.finding import Confidence, Finding, Severity
from regrow.challenge.audit.record.logs import RunLog, looks_like_log, read_log

_READ_AT_MOST = 8_000_000
_FILES_AT_MOST = 2_000
_LOGS_AT_MOST = 40
_LOG_BYTES_AT_MOST = 40_000_000

_HEADLINE_KEYS = (
    "val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb", "bpb", "val_bpb_exact", "bits_per_byte",
)  # fmt: skip
_BPB_IN_TEXT = re.compile(
    r"(?:val[_ ]?)?bpb\W{0,12}?(\d\.\d{3,10})|(\d\.\d{3,10})\W{0,4}(?:val[_ ])?bpb", re.IGNORECASE
)


@dataclass
class Record:
    """One submission.

    Attributes:
        root: the folder.
        files: every regular file under it, path -> bytes, nothing behind a symbolic link.
        claims: submission.json as parsed, or {} where there is none or it is broken.
        claims_path: where the claims stand, or None.
        claims_text: that file's text.
        claims_error: why the claims cannot be read, or "".
        readme, readme_path: the README's text and place.
        logs: the logs read.
        truncated: what was left out because the folder is too large, or "".
        memo: what was worked out once and is asked for by several checks.
    """

    root: Path
    files: dict[Path, int] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    claims_path: Path | None = None
    claims_text: str = ""
    claims_error: str = ""
    readme: str = ""
    readme_path: Path | None = None
    logs: list[RunLog] = field(default_factory=list)
    truncated: str = ""
    memo: dict[str, Any] = field(default_factory=dict)

    def claim_line(self, needle: str) -> tuple[int | None, str]:
        """Line number and text of the first line of submission.json that holds `needle`."""
        for number, line in enumerate(self.claims_text.splitlines(), start=1):
            if needle in line:
                return number, line.strip()[:300]
        return None, ""

    @property
    def track(self) -> str:
        """`record`, `non-record` or `unknown`, from submission.json and the folder's path."""
        text = f"{self.claims.get('track', '')} {self.claims.get('name', '')}".lower()
        if re.search(r"non[-_ ]?record|unlimited", text + str(self.root.parent.name).lower()):
            return "non-record"
        return "record" if "10min" in text.replace("_", "") or "10min" in self.root.parent.name else "unknown"


@dataclass(frozen=True)
class Check:
    """One question put to a record; the counterpart of a static rule.

    Attributes:
        id: stable identifier. title: one line for tables.
        why: why it matters, as a reviewer would explain it. clears: what would clear a finding.
        run: yields findings; gets the record.
    """

    id: str
    title: str
    why: str
    clears: str
    run: Callable[[Record], Iterator[Finding]] = field(repr=False)

    def finding(
        self,
        severity: Severity,
        confidence: Confidence,
        place: tuple[Path | None, int | None],
        message: str,
        evidence: str,
    ) -> Finding:
        """A finding of this check at `place`, a file and a line."""
        return Finding(
            rule=self.id,
            severity=severity,
            confidence=confidence,
            file=str(place[0] or ""),
            line=place[1],
            message=message,
            evidence=evidence[:1500],
        )


def number(value: object) -> float | None:
    """`value` as a finite float, where it is a number or a string that begins with one; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = re.match(r"\s*~?\s*(\d+(?:\.\d+)?)", value.replace(",", ""))
        value = float(match[1]) if match and len(match[1]) < 40 else None
    if isinstance(value, int | float) and abs(value) < 1e15 and math.isfinite(value):
        return float(value)
    return None


def _walk(root: Path) -> tuple[dict[Path, int], str]:
    """Regular files under `root` and their sizes; links are not followed."""
    files: dict[Path, int] = {}
    for folder, names, leaves in os.walk(root, followlinks=False):
        names[:] = sorted(n for n in names if not n.startswith(".") and n != "__pycache__")
        for leaf in sorted(leaves):
            path = Path(folder) / leaf
            if path.is_symlink() or not path.is_file():
                continue
            if len(files) >= _FILES_AT_MOST:
                return files, f"only the first {_FILES_AT_MOST} files were read"
            try:
                files[path] = path.stat().st_size
            except OSError:
                continue
    return files, ""


def _text(path: Path) -> str:
    with path.open("rb") as handle:
        return handle.read(_READ_AT_MOST).decode("utf-8-sig", errors="replace")


def load_record(root: Path) -> Record:
    """Read a submission folder.

    Args:
        root: the folder; it need not hold any of the usual files.
    """
    record = Record(root=root)
    record.files, record.truncated = _walk(root)
    top = {p.name.lower(): p for p in record.files if p.parent == root}
    claims = top.get("submission.json") or next(
        (p for n, p in sorted(top.items()) if n.startswith("submission") and n.endswith(".json")), None
    )
    if claims is not None:
        _read_claims(record, claims)
    readme = next((top[n] for n in ("readme.md", "readme.txt", "readme") if n in top), None)
    if readme is not None:
        record.readme_path, record.readme = readme, _text(readme)
    spent = 0
    for path, size in sorted(record.files.items(), key=lambda item: (len(item[0].parts), str(item[0]))):
        if not looks_like_log(path):
            continue
        if len(record.logs) >= _LOGS_AT_MOST or spent > _LOG_BYTES_AT_MOST:
            record.truncated = record.truncated or f"only the first {len(record.logs)} logs were read"
            break
        spent += size
        try:
            record.logs.append(read_log(path))
        except OSError:
            continue
    return record


def _read_claims(record: Record, path: Path) -> None:
    record.claims_path, record.claims_text = path, _text(path)
    try:
        parsed = json.loads(record.claims_text)
    except (ValueError, RecursionError) as error:
        record.claims_error = f"it does not parse as JSON: {str(error)[:120]}"
        return
    if isinstance(parsed, dict):
        record.claims = parsed
    else:
        record.claims_error = f"it holds a {type(parsed).__name__}, not an object"


@dataclass(frozen=True)
class Headline:
    """The bits per byte a submission claims: the value, how finely it is printed, and where."""

    bpb: float
    tolerance: float
    loss: float | None
    path: Path | None
    line: int | None
    evidence: str


def _tolerance(value: float, text: str) -> float:
    """Half a unit of the last printed digit, at most 0.0006 (a trailing zero may have been lost)."""
    match = re.search(r"\.(\d+)", text)
    digits = max(4, len(match[1]) if match else 0)
    return max(0.51 * 10.0**-digits, 1e-9 * value)


def headline(record: Record) -> Headline | None:
    """The headline: submission.json's, else the first figure in the README; None where there is neither."""
    if "headline" not in record.memo:
        record.memo["headline"] = _headline(record)
    found: Headline | None = record.memo["headline"]
    return found


def _headline(record: Record) -> Headline | None:
    named = [k for k in _HEADLINE_KEYS if k in record.claims]
    named += [k for k in record.claims if "bpb" in k and "mean" in k and k not in named]
    for key in named:
        value = record.claims[key]
        bpb = number(value)
        if bpb is None and isinstance(value, dict):
            bpb = number(value.get("mean"))
        if bpb is None or not 0 < bpb < 100:
            continue
        line, text = record.claim_line(f'"{key}"')
        loss = number(record.claims.get(key.replace("bpb", "loss"))) if "bpb" in key else None
        return Headline(bpb, _tolerance(bpb, f"{bpb!r}"), loss, record.claims_path, line, text)
    for count, row in enumerate(record.readme.splitlines(), start=1):
        if match := _BPB_IN_TEXT.search(row):
            text = match[1] or match[2]
            return Headline(
                float(text), _tolerance(float(text), text), None, record.readme_path, count, row.strip()[:300]
            )
    return None


def claimed_seeds(record: Record) -> dict[int, float]:
    """Each seed's claimed bits per byte, as submission.json lists them under one of the usual names."""
    results = record.claims.get("results")
    places = [record.claims, results if isinstance(results, dict) else {}]
    lead = headline(record)
    for place in places:
        for key in (
            "seed_results",
            "per_seed_results",
            "seeds",
            "val_bpb_seeds",
            "per_seed",
            "runs",
            "val_bpb",
        ):
            found = _by_seed(place.get(key), lead.bpb if lead else None)
            if len(found) >= 1:
                return found
    found = _by_seed({k: v for k, v in record.claims.items() if re.fullmatch(r"(seed_?)?\d+", k)}, None)
    return found


def _by_seed(value: object, near: float | None) -> dict[int, float]:
    rows: list[tuple[object, object]] = []
    if isinstance(value, dict):
        rows = list(value.items())
    elif isinstance(value, list):
        rows = [(row.get("seed"), row) for row in value if isinstance(row, dict)]
    found: dict[int, float] = {}
    for name, row in rows[:100]:
        digits = re.search(r"\d{1,12}", str(name))
        if digits is None:
            continue
        bpb = number(row)
        if isinstance(row, dict):
            options = [
                (k, number(v)) for k, v in row.items() if "bpb" in k and "gain" not in k and "delta" not in k
            ]
            figures = [(k, v) for k, v in options if v is not None]
            exact = [v for k, v in figures if k in ("val_bpb", "bpb", "val_bpb_exact")]
            if exact:
                bpb = exact[0]
            elif figures:
                bpb = min((v for _, v in figures), key=lambda v: abs(v - near) if near is not None else v)
        if bpb is not None and 0 < bpb < 100:
            found[int(digits[0])] = bpb
    return found

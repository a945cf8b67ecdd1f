"""A submission folder as a record: what it claims (submission.json, README) and what it shows (logs, scripts)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from regrow.challenge.audit.record.claims import (
    Claims,
    HeadlineClaim,
    claimed_seeds,
    headline,
    number,
    parse_claims,
)
from regrow.challenge.audit.record.logs import TrainingLog, looks_like_log, parse_log
from regrow.challenge.audit.record.size import Size, weigh
from regrow.challenge.audit.record.trace import HeadlineTrace, find_trace
from regrow.challenge.audit.source.folder import Folder, read_folder
from regrow.challenge.facts import EXPORTS
from regrow.challenge.significance import bytes_per_token, one_sided_p, record_bar

_LOGS_AT_MOST = 40
_LOG_BYTES_AT_MOST = 40_000_000
_BASELINE = re.compile(r"baseline|prior|previous|comparison|sota")


class Significance(NamedTuple):
    """A one-sided t test of some runs against a bar, bits per byte; `p` is None where it says nothing."""

    bar: float
    p: float | None


@dataclass
class Record:
    """One submission.

    Attributes:
        folder: its files.
        claims: submission.json. readme: the README.
        logs: what the logs say.
    """

    folder: Folder
    claims: Claims = field(default_factory=Claims)
    readme: Claims = field(default_factory=Claims)
    logs: list[TrainingLog] = field(default_factory=list)

    def place(self, path: Path, line: int | None) -> str:
        """`path:line` as seen from the submission's folder."""
        return f"{self.folder.name(path)}:{line}"

    @cached_property
    def track(self) -> str:
        """`record`, `non-record` or `unknown`, from submission.json and the folder's path."""
        text = f"{self.claims.values.get('track', '')} {self.claims.values.get('name', '')}".lower()
        parent = self.folder.root.parent.name
        if re.search(r"non[-_ ]?record|unlimited", text + parent.lower()):
            return "non-record"
        return "record" if "10min" in text.replace("_", "") or "10min" in parent else "unknown"

    @cached_property
    def headline(self) -> HeadlineClaim | None:
        """The bits per byte that are claimed."""
        return headline(self.claims, self.readme)

    @cached_property
    def seeds(self) -> dict[int, float]:
        """Each seed's claimed bits per byte."""
        return claimed_seeds(self.claims, self.headline)

    @cached_property
    def trace(self) -> HeadlineTrace | None:
        """The log lines that the headline comes from."""
        return find_trace(self.logs, self.headline, self.seeds)

    @cached_property
    def lead_logs(self) -> list[TrainingLog]:
        """The logs behind the headline; all of them where it is not traced."""
        return [log for log, _ in self.trace.used] if self.trace else self.logs

    @cached_property
    def figures(self) -> list[float]:
        """The seeds' bits per byte: those of the logs behind the headline, else those that are claimed."""
        traced = self.trace.values if self.trace else []
        return traced if len(traced) > 1 else list(self.seeds.values())

    @cached_property
    def significance(self) -> Significance | None:
        """The seeds against the baseline that submission.json names; None where it names none, or there is one seed."""
        named = (number(v) for k, v in self.claims.values.items() if "bpb" in k and _BASELINE.search(k))
        baseline = next((value for value in named if value is not None and 0.5 < value < 5), None)
        lead = self.headline
        if baseline is None or len(self.figures) < 2 or lead is None:
            return None
        ratio = bytes_per_token(lead.loss, lead.bpb) if lead.loss else EXPORTS["sp1024"].bytes_per_token
        bar = record_bar(baseline, ratio)
        return Significance(bar, one_sided_p(self.figures, bar))

    @cached_property
    def size(self) -> Size:
        """What the submission weighs."""
        return weigh(self.folder, self.lead_logs)


def load_record(where: Path | Folder) -> Record:
    """Read a submission folder; it need not hold any of the usual files."""
    folder = where if isinstance(where, Folder) else read_folder(where)
    record = Record(folder)
    top = {p.name.lower(): p for p in folder.files if p.parent == folder.root}
    claims = top.get("submission.json") or next(
        (p for n, p in sorted(top.items()) if n.startswith("submission") and n.endswith(".json")), None
    )
    if claims is not None:
        record.claims = parse_claims(claims, folder.text(claims)[0])
    readme = next((top[n] for n in ("readme.md", "readme.txt", "readme") if n in top), None)
    if readme is not None:
        record.readme = Claims(readme, folder.text(readme)[0])
    spent = 0
    for path, size in sorted(folder.files.items(), key=lambda item: (len(item[0].parts), str(item[0]))):
        if not looks_like_log(path):
            continue
        if len(record.logs) >= _LOGS_AT_MOST or spent > _LOG_BYTES_AT_MOST:
            folder.drop(f"logs after the first {len(record.logs)}")
            break
        spent += size
        try:
            record.logs.append(parse_log(path, folder.text(path)[0]))
        except OSError as error:
            folder.drop(f"{folder.name(path)} ({error.strerror})")
    return record

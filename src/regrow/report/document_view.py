"""The held-out text document by document: bars as wide as a document is long, and the hardest and easiest of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regrow.report.excerpt import ExcerptDocument
from regrow.report.formats import bits, count
from regrow.report.plot import Tick, axis, ticks_y
from regrow.report.run_files import RunFiles
from regrow.report.visible_bytes import visible

_MAX_BARS = 240  # of more documents neighbours share a bar
_ENDS = 5  # of so many documents more than twice over the hardest and the easiest are named


@dataclass(frozen=True)
class DocumentBar:
    """Neighbouring documents, most often one: where the bar begins, its width and height, in percent, and words."""

    left: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class DocumentRow:
    """One named document; figures are bits per byte."""

    number: str
    begins: str
    bytes: str
    network: str
    memory: str
    mixture: str


@dataclass(frozen=True)
class DocumentsView:
    """One run's documents. `mean` is over bytes, so that of the whole text; rows: the hardest first."""

    documents: int
    bars: list[DocumentBar]
    ticks: list[Tick]
    mean: float
    mean_at: float
    hardest: list[DocumentRow]
    easiest: list[DocumentRow]


def document_views(runs: list[RunFiles]) -> list[DocumentsView | None]:
    """A view a run, in their order; runs on the same text have the same scale. None where the text is one document, or
    was not scored."""
    bars = [_bars(run.excerpt.documents) if run.excerpt else [] for run in runs]
    highest: dict[str, float] = {}
    for run, own in zip(runs, bars, strict=True):
        text = run.result.data.val_sha256
        highest[text] = max([highest.get(text, 0.0), *(_bpb(part) for part in own)])
    return [
        _view(run.excerpt.documents, own, highest[run.result.data.val_sha256])
        if run.excerpt and own
        else None
        for run, own in zip(runs, bars, strict=True)
    ]


def _bars(documents: list[ExcerptDocument]) -> list[list[tuple[int, ExcerptDocument]]]:
    """The documents, numbered from 1, as many a bar as it takes to have few bars."""
    least = sum(d.bytes for d in documents) / _MAX_BARS if len(documents) > _MAX_BARS else 0
    bars: list[list[tuple[int, ExcerptDocument]]] = []
    for numbered in enumerate(documents, 1):
        if bars and sum(d.bytes for _, d in bars[-1]) < least:
            bars[-1].append(numbered)
        else:
            bars.append([numbered])
    return bars


def _bpb(part: list[tuple[int, ExcerptDocument]]) -> float:
    return math.fsum(d.mixture for _, d in part) / max(1, sum(d.bytes for _, d in part))


def _view(
    documents: list[ExcerptDocument], bars: list[list[tuple[int, ExcerptDocument]]], highest: float
) -> DocumentsView:
    whole, scale = sum(d.bytes for d in documents), axis(0.0, highest, 4, snap=True)
    made, left = [], 0
    for part in bars:
        size = sum(d.bytes for _, d in part)
        names = (
            f"document {part[0][0]:,}" if len(part) == 1 else f"documents {part[0][0]:,} to {part[-1][0]:,}"
        )
        begins = f", “{_shown(part[0][1])}”" if len(part) == 1 else ""
        words = f"{names}{begins}: {size:,} bytes at {bits(_bpb(part))} bits per byte"
        made.append(DocumentBar(100 * left / whole, 100 * size / whole, 100 * scale.share(_bpb(part)), words))
        left += size
    mean = _bpb(list(enumerate(documents)))
    order = sorted(enumerate(documents, 1), key=lambda one: -_bpb([one]))
    rows = [_row(number, document) for number, document in order]
    ends = len(rows) > 2 * _ENDS
    return DocumentsView(
        len(documents), made, ticks_y(scale), mean, 100 * (1 - scale.share(mean)),
        rows[:_ENDS] if ends else rows, rows[-_ENDS:] if ends else [],
    )  # fmt: skip


def _row(number: int, document: ExcerptDocument) -> DocumentRow:
    def bpb(value: float | None) -> str:
        return "" if value is None else bits(value / max(1, document.bytes))

    return DocumentRow(
        count(number), _shown(document), count(document.bytes),
        bpb(document.network), bpb(document.memory), bpb(document.mixture),
    )  # fmt: skip


def _shown(document: ExcerptDocument) -> str:
    return visible(document.begins.encode())

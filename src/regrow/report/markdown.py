"""The page's figures as Markdown, for a paper or a pull request: the same tables, without pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrow.report.component_view import size_rows
from regrow.report.headline import headline
from regrow.report.run_files import RunFiles, load_runs
from regrow.report.tables import TableRow, difference_rows, proof_rows, run_tables, score_rows


def markdown_report(runs: Sequence[Path | str]) -> str:
    """The report about `runs`, folders of runs, as Markdown text. Raises DataError as `write_report` does."""
    return render_markdown(load_runs([Path(run) for run in runs]))


def render_markdown(runs: list[RunFiles]) -> str:
    """The text, a function of the runs alone."""
    parts = []
    for head in map(headline, runs):
        parts.append(f"**{_plain(head.name)}**: {head.figure} {head.label}. {_plain(head.sentence)}")
    sizes = [(row.component, row.bytes) for row in size_rows(runs)]
    proofs = proof_rows([run.result.proof for run in runs])
    tables = [
        ("Bits per byte", _cells(score_rows(runs) + difference_rows(runs))),
        ("Bytes", sizes),
        ("Proof", _cells(proofs)),
        *((table.title, _cells(table.rows)) for table in run_tables(runs)),
    ]
    for title, rows in tables:
        answered = [(label, cells) for label, cells in rows if any(cell != "not run" for cell in cells)]
        if answered:
            names = [run.name for run in runs]
            lines = [(title, names), ("---", ["---:"] * len(runs)), *answered]
            parts.append("\n".join(_line([label, *cells]) for label, cells in lines))
    return "\n\n".join(parts) + "\n"


def _cells(rows: Sequence[TableRow]) -> list[tuple[str, list[str]]]:
    return [(row.label, [cell.text for cell in row.cells]) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = " ".join(text.split())
    for special in "\\`*_<|[":
        text = text.replace(special, "\\" + special)
    return text

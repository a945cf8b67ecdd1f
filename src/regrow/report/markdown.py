"""The page's figures, config and hashes as Markdown, for a paper or a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrow.report.component_view import size_rows
from regrow.report.formats import NOT_RUN
from regrow.report.headline import headline
from regrow.report.run_files import RunFiles, load_runs
from regrow.report.tables import (
    TableRow,
    config_tables,
    difference_rows,
    proof_rows,
    run_tables,
    score_rows,
)


def markdown_report(runs: Sequence[Path | str]) -> str:
    """The report about `runs`, folders of runs, as Markdown text. Raises DataError as `write_report` does."""
    return render_markdown(load_runs([Path(run) for run in runs]))


def render_markdown(runs: list[RunFiles]) -> str:
    """The text, a function of the runs alone."""
    parts = []
    for head in map(headline, runs):
        parts.append(f"**{_plain(head.name)}**: {head.figure} {head.label}. {_plain(head.sentence)}")
    sizes = [(row.component, row.bytes) for row in size_rows(runs)]
    names = [run.name for run in runs]
    tables = [
        ("Bits per byte", _cells(score_rows(runs) + difference_rows(runs))),
        ("Bytes", sizes),
        ("Proof", _cells(proof_rows([run.result.proof for run in runs]))),
        ("Adaptive proof", _cells(proof_rows([run.result.proof_adaptive for run in runs]))),
        *((table.title, _cells(table.rows)) for table in run_tables(runs)),
    ]
    parts += [table for title, rows in tables if (table := _table(title, names, rows))]
    parts += _fold("Config", [_table(t.title, names, _cells(t.rows)) for t in config_tables(runs)])
    parts += _fold("SHA-256", [_table("SHA-256", names, _hashes(runs))])
    return "\n\n".join(parts) + "\n"


def _table(title: str, names: list[str], rows: list[tuple[str, list[str]]]) -> str:
    """A table of the rows that some run has an answer to; empty without any."""
    answered = [(label, cells) for label, cells in rows if any(cell != NOT_RUN for cell in cells)]
    lines = [(title, names), ("---", ["---:"] * len(names)), *answered]
    return "\n".join(_line([label, *cells]) for label, cells in lines) if answered else ""


def _fold(title: str, tables: list[str]) -> list[str]:
    """What few readers want, folded where Markdown is shown as GitHub does."""
    shown = [table for table in tables if table]
    return [f"<details><summary>{title}</summary>", *shown, "</details>"] if shown else []


def _hashes(runs: list[RunFiles]) -> list[tuple[str, list[str]]]:
    """What names the runs for good: of the artifact, the held-out text, the payloads, the bases and the counts."""
    found: list[dict[str, str]] = []
    for run in runs:
        known, text = run.identity, {"held-out text": run.result.data.val_sha256}
        counts = {"counts": known.counts_sha256} if known and known.counts_sha256 else {}
        bases = {f"base {name}": digest for name, digest in known.bases.items()} if known else {}
        found.append(({"artifact": known.sha256} | text | known.payloads | counts | bases) if known else text)
    names = dict.fromkeys(name for one in found for name in one)
    return [(name, [one.get(name, NOT_RUN) for one in found]) for name in names]


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

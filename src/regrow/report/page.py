"""One self-contained page about runs: nothing on it is fetched from elsewhere, every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrow import __version__
from regrow.core.files import atomic_write_bytes, check_writable
from regrow.core.html import render as page
from regrow.core.run_folder import REPORT
from regrow.report.component_view import size_bars, size_rows
from regrow.report.curve_view import curve_plots, last_values, small_plots
from regrow.report.document_view import document_views
from regrow.report.excerpt_view import SHADES, excerpt_view
from regrow.report.headline import headline
from regrow.report.run_files import RunFiles, load_runs
from regrow.report.tables import config_tables, difference_rows, proof_rows, run_tables, score_rows
from regrow.report.visible_bytes import visible


def write_report(runs: Path | str | RunFiles | Sequence[Path | str], out: Path | str | None = None) -> Path:
    """Write one page about `runs` (a run's folder, several side by side, or a run as it was loaded); returns its path.

    `out` None: report.html in the first folder. Raises DataError for a folder without a result.json of this
    schema, EnvironmentProblem if the page cannot be written.
    """
    loaded = [runs] if isinstance(runs, RunFiles) else None
    folders = [] if isinstance(runs, RunFiles) else [runs] if isinstance(runs, str | Path) else runs
    first = loaded[0].folder if loaded else Path(next(iter(folders), "."))
    target = Path(out) if out is not None else first / REPORT
    check_writable(target)
    records = loaded or load_runs([Path(run) for run in folders])
    # A folder's name need not be UTF-8; the page always is.
    atomic_write_bytes(target, render(records).encode("utf-8", "backslashreplace"))
    return target


def render(runs: list[RunFiles]) -> str:
    """The page as HTML text, a function of the runs alone."""
    adaptive = [run.result.proof_adaptive for run in runs]
    return page(
        "regrow.report",
        "page",
        title=" · ".join(run.name for run in runs),
        version=__version__,
        runs=runs,
        headlines=[headline(run) for run in runs],
        scores=score_rows(runs),
        differences=difference_rows(runs),
        different_texts=len({run.result.data.val_sha256 for run in runs}) > 1,
        plots=curve_plots(runs),
        last_values=last_values(runs),
        small_plots=small_plots(runs),
        bars=size_bars(runs),
        sizes=size_rows(runs),
        proofs=proof_rows([run.result.proof for run in runs]),
        adaptive_proofs=proof_rows(adaptive) if any(adaptive) else None,
        excerpts=[excerpt_view(run.excerpt) if run.excerpt else None for run in runs],
        documents=document_views(runs),
        visible=visible,
        shades=SHADES,
        run_tables=run_tables(runs),
        config_tables=config_tables(runs),
    )

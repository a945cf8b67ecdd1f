"""The files and figures of a run, as the command line finds them beside an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.core.files import check_writable
from regrow.core.run_folder import ARTIFACT, REPORT, RESULT

if TYPE_CHECKING:
    from regrow.core.progress import Progress
    from regrow.core.results import Bpb


def update_result(artifact: Path, data: Path, changes: Mapping[str, Any]) -> Path | None:
    """Put figures into the result.json beside `artifact`, if it belongs to a run on this very held-out text.

    Returns the path of the updated file, or None where there is none or the text is another one.
    """
    from regrow.core.files import sha256_hex
    from regrow.core.results import Result

    path = artifact.parent / RESULT
    if artifact.name != ARTIFACT or not path.exists():
        return None
    text = data / "val.txt" if data.is_dir() else data
    if Result.load(path).data.val_sha256 != sha256_hex(text.read_bytes()):
        return None
    Result.update(path, changes)
    return path


def check_run(artifact: Path) -> None:
    """Raise EnvironmentProblem now if the figures could not be put into the run's result.json later."""
    if artifact.name == ARTIFACT and (artifact.parent / RESULT).exists():
        check_writable(artifact.parent / RESULT)


def refresh_report(run: Path) -> Path | None:
    """Write the page of a run anew, if it has one: its figures have changed."""
    from regrow.report.page import write_report

    return write_report(run) if (run / REPORT).is_file() else None


def warn_of_better_part(bpb: Bpb, progress: Progress) -> None:
    """Say so where a part alone costs fewer bits than the mixture."""
    if better := better_part(bpb):
        progress.log(f'{better} alone is better than the mixture: pack.keep = "best" keeps it alone')


def better_part(bpb: Bpb) -> str:
    """The part that alone costs fewer bits than the mixture, in words; empty if there is none."""
    parts = {"the network": bpb.neural, "the memory": bpb.memory}
    costs = {name: value for name, value in parts.items() if value is not None}
    if bpb.blended is None or len(costs) < 2 or min(costs.values()) >= bpb.blended:
        return ""
    return min(costs, key=costs.__getitem__)

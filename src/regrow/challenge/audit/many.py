"""Auditing a folder of submissions in parallel; none of them can take the others down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from pathlib import Path
from types import FrameType

from regrow.challenge.audit.finding import crashed
from regrow.challenge.audit.one import audit_one
from regrow.challenge.audit.source.text import printable
from regrow.challenge.audit.verdict import Audit, judge
from regrow.core.errors import DataError
from regrow.core.machine import cores
from regrow.core.workers import WorkerEnded, WorkFailed
from regrow.core.workers import workers as processes

#: Seconds that one submission may take; past them it is reported as not judged, and the others go on.
SECONDS_EACH = 120


def submissions(root: Path) -> list[Path]:
    """The submissions under a folder, sorted.

    A folder that holds a submission.json, or a README or log beside a Python file, is one; what lies beneath
    it belongs to it. In a folder that holds Python files alone, each file is one. Links are not followed.

    Raises:
        DataError: `root` is no folder, or holds none.
    """
    if not root.is_dir():
        raise DataError(f"{root}: --many needs a folder of submissions.")
    found = list(_beneath(root, top=True))
    if not found:
        raise DataError(f"{root}: there is no submission in this folder.")
    return sorted(found)


def _beneath(folder: Path, top: bool = False) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # its own audit says that it cannot be read
        yield folder
        return
    files = [e.name for e in entries if e.is_file(follow_symlinks=False)]
    scripts = [name for name in files if name.endswith(".py")]
    named = any(name.startswith("submission") and name.endswith(".json") for name in files)
    around = any(name.lower().startswith("readme") or name.endswith((".log", ".txt")) for name in files)
    if named or (scripts and around and not top):
        yield folder
        return
    if scripts:
        yield from (folder / name for name in scripts)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith((".", "__")):
            yield from _beneath(Path(entry.path))


def audit_many(
    paths: list[Path],
    *,
    smoke: bool = False,
    workers: int | None = None,
    seconds_each: int = SECONDS_EACH,
    tell: Callable[[int, int], None] | None = None,
    out: frozenset[str] = frozenset(),
) -> list[Audit]:
    """Audit many submissions.

    Args:
        paths: the submissions, as `submissions` finds them.
        smoke: also the smoke test of each.
        workers: processes; the machine's cores where left out.
        seconds_each: seconds one submission may take.
        tell: called with how many are done and how many there are.
        out: ids that do not count (`selection.left_out`).

    Returns:
        One audit a submission, in the order given.
    """
    done: dict[Path, Audit] = {}
    width = max(1, min(workers or cores(), len(paths)))
    with processes(width, _guarded, (smoke, seconds_each, out)) as submit:
        waiting: dict[Future[Audit], Path] = {submit(path): path for path in paths}
        for future in as_completed(waiting):
            path = waiting[future]
            try:
                done[path] = future.result()
            except WorkerEnded:
                done[path] = _not_judged(path, RuntimeError("the process that audited it ended"))
            except WorkFailed as error:  # what it found could not be sent here: that is its finding alone
                done[path] = _not_judged(path, error)
            if tell is not None:
                tell(len(done), len(paths))
    return [done[path] for path in paths]


def _guarded(how: tuple[bool, int, frozenset[str]], path: Path) -> Audit:
    """One audit; whatever it raises is its finding.

    how: whether with a smoke test, the seconds it may take, and what is left out.
    """
    smoke, seconds, out = how

    def over(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds} s")

    timed = hasattr(signal, "SIGALRM")  # Windows has no alarm: an audit takes there what it takes
    before = signal.signal(signal.SIGALRM, over) if timed else None
    if timed:
        signal.alarm(seconds)
    try:
        return audit_one(path, smoke=smoke, out=out)
    except Exception as error:
        return _not_judged(path, error)
    finally:
        if timed:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def _not_judged(path: Path, error: BaseException) -> Audit:
    name = printable(str(path))
    finding = crashed("audit", Path(name), error)
    return Audit(path=name, verdict=judge([finding], []), findings=[finding])

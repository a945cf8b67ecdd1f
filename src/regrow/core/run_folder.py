"""The folder of a run: which files belong to it, one process that trains in it at a time, files of one run only.

    RUN/config.toml  log.jsonl  artifact.safetensors  result.json  report.html  tensorboard/  checkpoint/

A run that begins where another has finished works in RUN/unfinished and takes the other's place when it is done, so a
run that fails leaves the finished one as it was. Every run draws an id, which its config, log and result carry.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from regrow.core.errors import ConfigError, EnvironmentProblem, reason
from regrow.core.files import remove_leftovers
from regrow.core.folders import folder_lock

CONFIG = "config.toml"
LOG = "log.jsonl"
ARTIFACT = "artifact.safetensors"
RESULT = "result.json"
REPORT = "report.html"
CHECKPOINT = "checkpoint"
UNFINISHED = "unfinished"

_OPTIONAL = ("tensorboard", "train.log", CHECKPOINT)
_MOVED = (ARTIFACT, CONFIG, LOG, *_OPTIONAL, RESULT)  # in this order: what says that a run is done comes last
_OF_THE_ARTIFACT = ("excerpt.json", REPORT)  # made later, from a finished run
_ID_COMMENT = "# run "


class _Locked(EnvironmentProblem):
    """Another process trains in the folder."""


def new_run_id() -> str:
    """An id that no other run has: 12 hexadecimal digits."""
    return uuid.uuid4().hex[:12]


def is_finished(folder: Path) -> bool:
    """Whether a run has left its artifact or its result here."""
    return (folder / ARTIFACT).exists() or (folder / RESULT).exists()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The right to train in `folder`, which is made if need be, for one process at a time.

    The lock is the kernel's and ends with the process, however it ends; a folder that is empty then goes. Raises
    EnvironmentProblem if another process holds it, or if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock = contextlib.ExitStack()
        lock.enter_context(folder_lock(folder))
    except BlockingIOError as error:
        raise _Locked(
            f"{folder}: another process is training in it; wait until that has ended, or choose another --out."
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"{folder}: cannot be written ({reason(error)}); choose another --out."
        ) from error
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()


def working_folder(out: Path, *, resume: bool, overwrite: bool) -> Path:
    """Where a run that begins in `out`, or goes on there, keeps its files until it is done: `out` itself, or
    `out`/unfinished where a finished run lies there.

    Raises ConfigError for a finished run that may not be replaced.
    """
    unfinished = out / UNFINISHED
    if resume and unfinished.exists() and not _is_moving(out):
        return unfinished
    if (resume and (out / CHECKPOINT).exists()) or not (is_finished(out) or _is_moving(out)):
        return out
    if not overwrite:
        raise ConfigError(
            f"{out}: holds a finished run; give --overwrite to replace it, or choose another --out."
        )
    return unfinished


def settle(out: Path) -> None:
    """If a finished run was killed while it took its place in `out`, let it have that; unless a process does it now."""
    if _is_moving(out):
        with contextlib.suppress(_Locked), locked(out):
            take_place(out / UNFINISHED, out)


def prepare(out: Path, *, resume: bool, overwrite: bool, again: bool = False) -> Path:
    """The working folder, made ready by the process that holds the lock: what was on its way to its place gets there,
    and a run that was given up makes room for one that begins (but not where torchrun starts it `again`)."""
    if _is_moving(out):
        take_place(out / UNFINISHED, out)
    work = working_folder(out, resume=resume, overwrite=overwrite)
    if not (resume or again):
        shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    remove_leftovers(work, CONFIG, LOG, ARTIFACT, RESULT)
    return work


def take_place(work: Path, out: Path) -> None:
    """The run in `work` is done: its files replace those of the run in `out` (nothing to do where both are one).

    May be called again after it was killed on its way.
    """
    if work == out:
        return
    try:
        if (work / ARTIFACT).exists():  # it moves first, so what else lies in `out` is still of the old run
            for name in (*_OPTIONAL, *_OF_THE_ARTIFACT):
                _remove(out / name)
        for name in _MOVED:
            if (work / name).exists():
                (work / name).replace(out / name)
        shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"{out}: the finished run in {work} cannot take its place ({reason(error)}); "
            "mend that and start with --resume, which moves it."
        ) from error


def with_run_id(run: str, toml: str) -> str:
    """The text of config.toml with the run's id as a comment."""
    return f"{_ID_COMMENT}{run}\n{toml}"


def run_ids(folder: Path) -> dict[str, str]:
    """The run's id by file, of config.toml, log.jsonl and result.json; files without one are left out."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        first = (folder / CONFIG).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if first.startswith(_ID_COMMENT):
            found[CONFIG] = first.removeprefix(_ID_COMMENT).strip()
    for name in (LOG, RESULT):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text = (folder / name).read_text(encoding="utf-8")
            run = json.loads(text.partition("\n")[0] if name == LOG else text).get("run")
            if run:
                found[name] = run
    return found


def _is_moving(out: Path) -> bool:
    """Whether a run in `out`/unfinished is done and has not taken its place."""
    return (out / UNFINISHED / RESULT).exists()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

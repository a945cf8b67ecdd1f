"""Dated results: one JSON file a bench run, never overwritten: a figure can be traced to day and machine."""

from __future__ import annotations

import datetime
import itertools
import os
import platform
from pathlib import Path

import msgspec
import torch

from regrow import __version__
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_bytes


class Machine(msgspec.Struct, frozen=True):
    """Where a bench ran. `dtype`: number format of matrix products; `compiled`: whether training was."""

    device: str
    cores: int
    threads: int
    platform: str
    python: str
    torch: str
    dtype: str
    compiled: bool


def this_machine(device: torch.device, dtype: torch.dtype, *, compiled: bool) -> Machine:
    """The facts of this process's machine."""
    return Machine(
        device=str(device),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        platform=platform.machine(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        dtype=str(dtype).removeprefix("torch."),
        compiled=compiled,
    )


def today() -> str:
    """The date in UTC, as 2026-11-23."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def version() -> str:
    """The version of regrow that a result comes from."""
    return __version__


def results_folder(start: Path | None = None) -> Path:
    """`bench/results` of the checkout that `start` (the working folder) lies in, or of `start` itself."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "src" / "regrow").is_dir() and (folder / "pyproject.toml").is_file():
            return folder / "bench" / "results"
    return here / "bench" / "results"


def save_dated(name: str, result: object, folder: Path | None = None) -> Path:
    """Write `result`, with today's date in the file's name, into `folder`; returns the file, a new one.

    A second result of one day gets `-2`, and so on. Raises EnvironmentProblem if it cannot be written.
    """
    folder = folder or results_folder()
    for number in itertools.count(1):
        path = folder / f"{today()}-{name}{'' if number == 1 else f'-{number}'}.json"
        if not path.exists():
            break
    atomic_write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path


def newest(name: str, folder: Path) -> Path:
    """The newest dated result of the bench `name`. Raises DataError if there is none."""
    found = [p for p in folder.glob(f"????-??-??-{name}*.json") if _order(p, name)]
    if not found:
        raise DataError(f"{folder}: holds no result of bench {name}; run regrow bench {name} first.")
    return max(found, key=lambda p: _order(p, name))


def _order(path: Path, name: str) -> tuple[str, int]:
    """(date, number of that day), or an empty date for another bench whose name begins alike."""
    number = path.stem[10:].removeprefix(f"-{name}").removeprefix("-") or "1"
    return (path.stem[:10], int(number)) if number.isdigit() else ("", 0)

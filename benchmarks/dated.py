"""Dated results: one JSON file a bench run, never overwritten: a figure can be traced to day and machine."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from regrow import __version__
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_bytes
from regrow.data.dataset import Dataset

Found = dict[str, Any]  # a result as its file holds it


@dataclass(frozen=True)
class Size:
    """How large a run of a bench is, as far as all benches have it; `name` is what follows the colon."""

    vocab_size: int
    name: str = "full"


def about(
    data: Dataset | None, *, device: str = "cpu", dtype: str = "float32", compiled: bool = True
) -> Found:
    """What every result begins with: day, version, machine and text. `dtype`: of matrix products; `compiled`: whether
    training was."""
    machine = {
        "device": device, "cores": os.cpu_count() or 1, "threads": torch.get_num_threads(),
        "platform": platform.machine(), "python": platform.python_version(), "torch": str(torch.__version__),
        "dtype": dtype.removeprefix("torch."), "compiled": compiled,
    }  # fmt: skip
    text = {} if data is None else {"text": {**data.counts, "vocab_size": data.vocab_size}}
    return {"date": today(), "version": __version__, "machine": machine, **text}


def today() -> str:
    """The date in UTC, as 2026-11-23."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def results_folder(start: Path | None = None) -> Path:
    """`bench/results` of the checkout that `start` (the working folder) lies in, or of `start` itself."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "src" / "regrow").is_dir() and (folder / "pyproject.toml").is_file():
            return folder / "bench" / "results"
    return here / "bench" / "results"


def save_dated(name: str, result: Found, folder: Path | None = None) -> Path:
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


def dated(name: str, folder: Path) -> list[Path]:
    """The results of the bench `name`, the newest last. Raises DataError if there is none."""
    found = [p for p in folder.glob(f"????-??-??-{name}*.json") if _order(p, name)[1]]
    if not found:
        raise DataError(f"{folder}: holds no result of bench {name}; run regrow bench {name} first.")
    return sorted(found, key=lambda p: _order(p, name))


def load(path: Path) -> Found:
    """A result, with its file's name under "file". Raises DataError for a file that is none."""
    try:
        found = json.loads(path.read_bytes())
        return {**found, "date": found["date"], "file": path.name}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no result of a bench ({error!r}); run the bench again.") from error


def newest(name: str, folder: Path) -> Found:
    """The newest result of a bench."""
    return load(dated(name, folder)[-1])


def of_text(text: str, folder: Path) -> Found:
    """The newest result of bench adaptive on a text."""
    found = [result for path in dated("adaptive", folder) if (result := load(path))["text"] == text]
    if not found:
        raise DataError(f"{folder}: holds no result of bench adaptive on {text}; run regrow bench adaptive.")
    return found[-1]


def of_each_text(name: str, folder: Path) -> list[Found]:
    """The newest result of a bench on each held-out text, which then stands under "held_out"; none, if it was never
    run."""
    try:
        found = [load(path) for path in dated(name, folder)]
    except DataError:
        return []
    return list(
        {text["name"]: {**result, "held_out": text} for result in found for text in result["texts"]}.values()
    )


def _order(path: Path, name: str) -> tuple[str, int]:
    """Date and number of that day; 0 for another bench whose name begins alike."""
    number = path.stem[10:].removeprefix(f"-{name}").removeprefix("-") or "1"
    return path.stem[:10], int(number) if number.isdigit() else 0

"""A command as a child process: what it took in wall-clock seconds and at its peak in memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regrow.core.errors import EnvironmentProblem


@dataclass(frozen=True)
class Cost:
    """Wall-clock `seconds` of a whole process and `peak_bytes`, its largest resident size.

    The kernel counts what this process held when it started the child, so a smaller peak than that is not seen.
    """

    seconds: float
    peak_bytes: int


def run_child(command: Sequence[str | Path], output: Path, text: Path | None = None) -> Cost:
    """Run `command` with its standard output in `output` and `text`, if any, as its standard input.

    Raises EnvironmentProblem with the end of what it said if it fails.
    """
    errors = output.with_suffix(output.suffix + ".stderr")
    started = time.perf_counter()
    with output.open("wb") as out, errors.open("wb") as err, (text or Path(os.devnull)).open("rb") as given:
        child = subprocess.Popen([str(part) for part in command], stdin=given, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if child.returncode:
        said = errors.read_text(errors="replace").strip().splitlines()[-1:] or [
            f"exit code {child.returncode}"
        ]
        raise EnvironmentProblem(f"{command[0]}: failed ({said[0]}); run it by hand to see why.")
    return Cost(seconds, usage.ru_maxrss * 1024)

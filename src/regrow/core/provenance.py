"""Where a result comes from: date, command, processor, versions, commit."""

from __future__ import annotations

import contextlib
import datetime
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from regrow import __version__

_ROOT = Path("/")


def provenance() -> dict[str, str]:
    """`date` (UTC, to the second), `command`, `cpu`, `python` and `regrow`, and `commit` where regrow runs
    from a clone."""
    now = datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
    name = Path(sys.argv[0]).name
    command = shlex.join(["regrow" if name == "__main__.py" else name, *sys.argv[1:]])
    found = {
        "date": now, "command": command, "cpu": cpu_name(), "python": platform.python_version(), "regrow": __version__,
    }  # fmt: skip
    commit = _commit(Path(__file__).resolve().parents[3])
    return found | ({"commit": commit} if commit else {})


def cpu_name(root: Path = _ROOT) -> str:
    """The processor's name as the system gives it, else its architecture."""
    with contextlib.suppress(OSError, StopIteration):
        lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.machine()


def _commit(clone: Path) -> str:
    """The commit of a clone of regrow, "" elsewhere: a package may be installed inside another repository."""
    if not (clone / ".git").exists() or not (clone / "src/regrow").is_dir():
        return ""
    command = ["git", "-C", str(clone), "rev-parse", "--short=12", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()
    return ""

"""What a run says while it trains: `log.jsonl`, a line a log step, and the same numbers for TensorBoard."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import TextIO

from regrow.config import Config, config_toml
from regrow.files import atomic_write_text


class RunLog:
    """Writes into the run's folder; silent in every process but the first. Opens with `config.toml`, as resolved.

    `after`: the step the run goes on from. What a killed run wrote beyond it is dropped, since it comes again.
    """

    def __init__(self, out: Path, config: Config, speaks: bool, after: int = 0) -> None:
        self._out, self._config, self._speaks, self._after = out, config, speaks, after

    def __enter__(self) -> RunLog:
        if self._speaks:
            from torch.utils.tensorboard import SummaryWriter

            self._out.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._out / "config.toml", config_toml(self._config))
            path = self._out / "log.jsonl"
            atomic_write_text(path, "".join(_lines_until(path, self._after)))
            self._file: TextIO = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(self._out / "tensorboard"), purge_step=self._after + 1)
        return self

    def write(self, record: dict[str, float]) -> None:
        """One line, flushed, so that a killed run keeps its curve."""
        if not self._speaks:
            return
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in record.items():
            if name not in ("step", "tokens", "seconds"):
                self._board.add_scalar(name, value, int(record["step"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaks:
            self._file.close()
            self._board.close()


def _lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of a log up to `step`; a process killed while it wrote leaves half a line at the end."""
    kept = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if step and path.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    return kept

"""What a run says while it trains: `log.jsonl`, a line a log step, and the same numbers for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import TextIO

from regrow.config import Config, config_toml
from regrow.files import atomic_write_text


class RunLog:
    """Writes into the run's folder; silent in every process but the first. Opens with `config.toml`, as resolved."""

    def __init__(self, out: Path, config: Config, speaks: bool) -> None:
        self._out, self._config, self._speaks = out, config, speaks

    def __enter__(self) -> RunLog:
        if self._speaks:
            from torch.utils.tensorboard import SummaryWriter

            self._out.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._out / "config.toml", config_toml(self._config))
            self._file: TextIO = (self._out / "log.jsonl").open("a", encoding="utf-8")
            self._board = SummaryWriter(str(self._out / "tensorboard"))
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

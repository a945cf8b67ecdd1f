"""What a run records while it trains: `log.jsonl`, one line per log step, the same numbers for TensorBoard where it is
installed, and whatever callbacks make of them.

Times are the trainer's clock. It starts after the first two steps (compilation, first allocations) and holds neither
evaluation nor packing, but for looks at the held-out text (`train.eval_every`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from regrow.core.config.load import config_toml
from regrow.core.config.schema import Config
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_text
from regrow.core.run_folder import CONFIG, LOG, with_run_id


class Callback(Protocol):
    """Called while a run trains, on rank 0 alone. What it raises ends the run.

    Any object with these methods will do; a class that inherits from this one may leave some of them out.
    """

    def on_step(self, record: Mapping[str, float]) -> None:
        """A log step is done (`train.log_every`); `record` is its line of log.jsonl: `step`, `tokens`, `seconds` of
        training, `loss` in nats per token, `bpb`, `rate`, `grad_norm`, `tokens_per_second`, ..."""
        return None

    def on_eval(self, record: Mapping[str, float]) -> None:
        """The held-out text was scored by the network alone, at the latest when training is over: `step`, `tokens`,
        `seconds`, `held_out_bpb` in bits per byte, before quantisation."""
        return None


class RunLog:
    """Writes into the run's folder; on rank 0 alone (`writes`). Opens with `config.toml`, as resolved."""

    def __init__(
        self, out: Path, config: Config, writes: bool, callbacks: Sequence[Callback] = (), run: str = ""
    ) -> None:
        self._out, self._config, self._writes, self._callbacks = out, config, writes, callbacks
        self._run = run  # its id, in every line and above the config
        self._board: Any = None

    def __enter__(self) -> RunLog:
        if self._writes:
            self._out.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._out / CONFIG, with_run_id(self._run, config_toml(self._config)))
            self._file: TextIO = (self._out / LOG).open("a", encoding="utf-8")
            self._board = _board(self._out / "tensorboard")
        return self

    def write(self, record: dict[str, float]) -> None:
        """One line, flushed, so that a killed run keeps its curve."""
        if not self._writes:
            return
        self._file.write(json.dumps(record | {"run": self._run}, allow_nan=False) + "\n")
        self._file.flush()
        for callback in self._callbacks:
            callback.on_step(record)
            if "held_out_bpb" in record:
                callback.on_eval(record)
        for name, value in record.items():
            if self._board is not None and name not in ("step", "tokens", "seconds"):
                self._board.add_scalar(name, value, int(record["step"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writes:
            self._file.close()
        if self._board is not None:
            self._board.close()


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder))
    except ImportError:  # a submission's script does without it
        return None
    except UnicodeEncodeError:  # it cannot write into a folder whose name is not UTF-8
        return None


def read_records(run: Path) -> list[dict[str, float]]:
    """The lines of a run's log.jsonl, of steps that were done again the last. Raises DataError for a damaged file."""
    path = run / LOG
    records: dict[int, dict[str, float]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            records[int(record["step"])] = record
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({(error.strerror or str(error)).lower()}); train again."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: a line of it is no record of a step; train again.") from error
    return [records[step] for step in sorted(records)]

"""What a run says while it trains: `log.jsonl`, a line a log step, the same numbers for TensorBoard where that is
installed, and with `train.log_lines = "official"` also `train.log`, in the words of parameter-golf's root script.

Times in these lines are the trainer's clock. It starts after the first two steps (compilation, first allocations) and
holds neither validation nor packing, as the root script's holds neither its warm-up steps nor validation. Unlike there,
what those two steps learned is kept. Text counted ahead of training (`memory.fill = "ahead"`) is outside it too; the
line `memory_count` says how long that took.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from regrow.core.config.load import config_toml
from regrow.core.config.schema import Config
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_text
from regrow.core.results import Proof, Result

OFFICIAL_LOG = "train.log"
CHALLENGE_BYTES = 151.08e6  # of its validation text


class RunLog:
    """Writes into the run's folder; silent in every process but the first. Opens with `config.toml`, as resolved."""

    def __init__(self, out: Path, config: Config, speaks: bool) -> None:
        self._out, self._config, self._speaks = out, config, speaks
        self._board: Any = None
        self._official: TextIO | None = None

    def __enter__(self) -> RunLog:
        if self._speaks:
            self._out.mkdir(parents=True, exist_ok=True)
            atomic_write_text(self._out / "config.toml", config_toml(self._config))
            self._file: TextIO = (self._out / "log.jsonl").open("a", encoding="utf-8")
            self._board = _board(self._out / "tensorboard")
            if self._config.train.log_lines == "official":
                path = self._out / OFFICIAL_LOG
                begins = not path.exists() or path.stat().st_size == 0
                self._official = path.open("a", encoding="utf-8")
                self._say(official_head(self._config) if begins else [])
        return self

    def write(self, record: dict[str, float]) -> None:
        """One line, flushed, so that a killed run keeps its curve."""
        if not self._speaks:
            return
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        self._say([official_step(record, self._config)])
        for name, value in record.items():
            if self._board is not None and name not in ("step", "tokens", "seconds"):
                self._board.add_scalar(name, value, int(record["step"]))

    def _say(self, lines: list[str]) -> None:
        if self._official is not None:
            self._official.writelines(line + "\n" for line in lines)
            self._official.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaks:
            self._file.close()
        if self._board is not None:
            self._board.close()
        if self._official is not None:
            self._official.close()


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # regrow depends on tensorboard; a bundled script does not
        return None
    return SummaryWriter(str(folder))


def official_head(config: Config) -> list[str]:
    """The settings, as the root script prints them before its first step."""
    t, m = config.train, config.model
    return [
        f"preset:{config.preset} vocab_size:{config.data.vocab_size} num_layers:{m.n_layer} model_dim:{m.d_model} "
        f"num_heads:{m.n_head} num_kv_heads:{m.n_kv_head} mlp_mult:{m.mlp_ratio:g} seeded:{m.seeded} r:{m.r}",
        f"memory_kind:{config.memory.kind} memory_order:{config.memory.max_order} memory_fill:{config.memory.fill}",
        f"embed_lr:{t.lr_embed:g} matrix_lr:{t.lr_matrix:g} scalar_lr:{t.lr_scalar:g}",
        f"train_batch_tokens:{t.batch_tokens} train_seq_len:{t.seq_len} iterations:{_iterations(config)} "
        f"max_wallclock_seconds:{t.max_seconds:.3f}",
        f"seed:{t.seed}",
    ]


def official_step(record: Mapping[str, float], config: Config) -> str:
    """One step's line; `record` is a line of log.jsonl. Losses are nats a token, times milliseconds."""
    step, spent = int(record["step"]), 1000 * record["seconds"]
    return (
        f"step:{step}/{_iterations(config)} train_loss:{record['loss']:.4f} train_time:{spent:.0f}ms "
        f"step_avg:{spent / max(step, 1):.2f}ms"
    )


def official_end(config: Config, result: Result, code_bytes: int = 0) -> list[str]:
    """What the root script prints at the end: stopping, sizes, and the figure of the artifact as it was read back.

    `val_loss` is nats a held-out token, `val_bpb` the blended predictor's bits per byte of the text itself.
    """
    spent = 1000 * (result.seconds.train or 0.0)
    lines = []
    if config.train.max_seconds and result.steps != config.train.max_steps:
        lines.append(
            f"stopping_early: wallclock_cap train_time:{spent:.0f}ms step:{result.steps}/{_iterations(config)}"
        )
    count = 1000 * (result.seconds.memory_count or 0.0)
    lines.append(f"memory_count:{count:.0f}ms memory_fill:{config.memory.fill}")
    total = (result.bytes or {}).get("total", 0)
    lines += [
        *_scored_text(result),
        f"Serialized model regrow: {total} bytes",
        f"Code size: {code_bytes} bytes",
        f"Total submission size regrow: {total + code_bytes} bytes",
    ]
    if result.bpb.blended is not None:
        loss = val_loss(result)
        took = 1000 * ((result.seconds.load or 0.0) + (result.seconds.eval or 0.0))
        bpb = result.bpb.blended
        lines += [
            f"final_artifact_roundtrip val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:{took:.0f}ms",
            f"final_artifact_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}",
        ]
    return lines


def _scored_text(result: Result) -> list[str]:
    # The challenge's own line says which validation set was scored; another text must not look like it.
    data = result.data
    if is_challenge_text(data.val_bytes):
        return [f"val_loader:shards tokens:{data.val_tokens}"]
    return [f"held_out_text:{data.name} size:{data.val_bytes} sha256:{data.val_sha256}"]


def is_challenge_text(val_bytes: int) -> bool:
    """Whether a held-out text has the size of the challenge's validation set, its first 50,000 documents."""
    return abs(val_bytes / CHALLENGE_BYTES - 1) < 0.01


def val_loss(result: Result) -> float:
    """Nats a held-out token under the blended predictor; 0 where that was not evaluated."""
    return (result.bpb.blended or 0.0) * math.log(2) * result.data.val_bytes / max(1, result.data.val_tokens)


def _iterations(config: Config) -> int:
    """Steps that the root script would call its iterations; where nothing limits them, its own default."""
    t = config.train
    return t.max_steps or (t.max_tokens // t.batch_tokens) or 20_000


def official_log(
    config: Config, records: list[dict[str, float]], result: Result, code_bytes: int
) -> list[str]:
    """The whole log of a finished run: `records` are the lines of its log.jsonl."""
    steps = [official_step(record, config) for record in records]
    proof = [proof_line(result.proof)] if result.proof is not None else []
    return [*official_head(config), *steps, *official_end(config, result, code_bytes), *proof]


def read_records(run: Path) -> list[dict[str, float]]:
    """The lines of a run's log.jsonl, of steps that were done again the last. Raises DataError for a damaged file."""
    path = run / "log.jsonl"
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


def proof_line(proof: Proof) -> str:
    """A proof as one line; bits per byte really spent."""
    return (
        f"proof proven_bpb:{proof.bpb:.8f} stream:{proof.stream_bytes} text:{proof.raw_bytes} "
        f"sha256_match:{proof.sha256_match} row_sum_error:{proof.max_abs_row_sum_error:.1e}"
    )

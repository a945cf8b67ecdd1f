"""The log in the words of parameter-golf's root script, made of a run's records and its result.

Times in these lines are the trainer's clock. It starts after the first two steps (compilation, first allocations) and
holds neither validation nor packing, as the root script's holds neither its warm-up steps nor validation. Unlike there,
what those two steps learned is kept. Text counted ahead of training (`memory.fill = "ahead"`) is outside it too; the
line `memory_count` says how long that took.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from regrow.challenge.facts import VALIDATION_BYTES
from regrow.core.config.schema import Config
from regrow.core.files import atomic_write_text
from regrow.core.results import Proof, Result
from regrow.training.log import Callback

LOG = "train.log"
_STEP = re.compile(r"step:(\d+)/")


class OfficialLog(Callback):
    """A callback of `train` that writes `train.log` into the run's folder while the network trains."""

    def __init__(self, out: Path, config: Config) -> None:
        self._path, self._config = out / LOG, config
        self._begun = False

    def on_step(self, record: Mapping[str, float]) -> None:
        """Write one step's line at once. Of an earlier run here, steps before this one stay: it was resumed."""
        if not self._begun:
            self._begin(int(record["step"]))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(step(record, self._config) + "\n")

    def _begin(self, first: int) -> None:
        old = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in old if (found := _STEP.match(line)) and int(found[1]) < first]
        atomic_write_text(self._path, "".join(line + "\n" for line in [*head(self._config), *kept]))
        self._begun = True


def log_writers(config: Config, out: Path) -> list[OfficialLog]:
    """The callbacks of `train` that `train.log_lines` asks for."""
    return [OfficialLog(out, config)] if config.train.log_lines == "official" else []


def head(config: Config) -> list[str]:
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


def step(record: Mapping[str, float], config: Config) -> str:
    """One step's line; `record` is a line of log.jsonl. Losses are nats per token, times milliseconds."""
    number, spent = int(record["step"]), 1000 * record["seconds"]
    return (
        f"step:{number}/{_iterations(config)} train_loss:{record['loss']:.4f} train_time:{spent:.0f}ms "
        f"step_avg:{spent / max(number, 1):.2f}ms"
    )


def end(config: Config, result: Result, code_bytes: int = 0) -> list[str]:
    """What the root script prints at the end: stopping, sizes, and the figure of the artifact as it was read back.

    `val_loss` is nats per held-out token, `val_bpb` the mixture's bits per byte of the text itself.
    """
    spent = 1000 * (result.seconds.train or 0.0)
    lines = []
    if config.train.max_seconds and result.steps != config.train.max_steps:
        lines.append(
            f"stopping_early: wallclock_cap train_time:{spent:.0f}ms step:{result.steps}/{_iterations(config)}"
        )
    count = 1000 * (result.seconds.memory_count or 0.0)
    total = (result.bytes or {}).get("total", 0)
    lines += [
        f"memory_count:{count:.0f}ms memory_fill:{config.memory.fill}",
        _scored_text(result),
        f"Serialized model regrow: {total} bytes",
        f"Code size: {code_bytes} bytes",
        f"Total submission size regrow: {total + code_bytes} bytes",
    ]
    if result.bpb.blended is not None:
        loss, bpb = val_loss(result), result.bpb.blended
        took = 1000 * ((result.seconds.load or 0.0) + (result.seconds.eval or 0.0))
        lines += [
            f"final_artifact_roundtrip val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:{took:.0f}ms",
            f"final_artifact_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}",
        ]
    return lines


def proof_line(proof: Proof) -> str:
    """A proof as one line; bits per byte really spent."""
    return (
        f"proof proven_bpb:{proof.bpb:.8f} stream:{proof.stream_bytes} text:{proof.raw_bytes} "
        f"sha256_match:{proof.sha256_match} row_sum_error:{proof.max_abs_row_sum_error:.1e}"
    )


def whole_log(config: Config, records: Sequence[Mapping[str, float]], result: Result, code_bytes: int) -> str:
    """The log of a finished run as text: `records` are the lines of its log.jsonl."""
    lines = [
        *head(config),
        *(step(record, config) for record in records),
        *end(config, result, code_bytes),
        *([proof_line(result.proof)] if result.proof is not None else []),
    ]
    return "".join(line + "\n" for line in lines)


def is_challenge_text(val_bytes: int) -> bool:
    """Whether a held-out text has the size of the challenge's validation set."""
    return abs(val_bytes / VALIDATION_BYTES - 1) < 0.01


def val_loss(result: Result) -> float:
    """Nats per held-out token under the mixture; 0 where that was not evaluated."""
    return (result.bpb.blended or 0.0) * math.log(2) * result.data.val_bytes / max(1, result.data.val_tokens)


def _scored_text(result: Result) -> str:
    # The challenge's own line says which validation set was scored; another text must not look like it.
    data = result.data
    if is_challenge_text(data.val_bytes):
        return f"val_loader:shards tokens:{data.val_tokens}"
    return f"held_out_text:{data.name} size:{data.val_bytes} sha256:{data.val_sha256}"


def _iterations(config: Config) -> int:
    """Steps that the root script would call its iterations; where nothing limits them, its own default."""
    t = config.train
    return t.max_steps or (t.max_tokens // t.batch_tokens) or 20_000

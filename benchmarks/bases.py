"""Which frozen base, at which depth, and which matrices to freeze at all: `regrow bench bases`.

Part "depth": every matrix seeded, the same steps on the same batches, only the base differs. For one seed
all arms start from the same embedding and the same adapters, so differences are taken seed by seed. The
published claim is that orthogonal bases train deep where Gaussian ones do not; the runs behind it
(parameter-golf 874, 1113) differ in more than the base. A base has a gain as well as a kind: the usual
Gaussian one and the published orthogonal one (1095) are arms of their own.

Part "bytes": all matrices seeded, the MLP's alone, or none, each for the same seconds, with widths and r
such that the packed networks are of one size. A seeded network is wider for its bytes, and slower for that.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from benchmarks.inside import adapter_share, base_facts, residual_rms, scale_bases
from benchmarks.seeds import Row, paired, spread
from benchmarks.texts import share_of_validation
from regrow.artifact.artifact import is_matrix, load_weights, pack_weights
from regrow.core.config.schema import Config, EvalConfig, MemoryConfig, ModelConfig, TrainConfig
from regrow.core.dist import ProcessGroup, process_group
from regrow.core.errors import ConfigError
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.bases import BaseKind
from regrow.network.compute import compute_dtype, keep_freed_pages
from regrow.network.hadamard import derive_seed
from regrow.network.lora import SeededLinear
from regrow.network.transformer import Transformer
from regrow.training.compiled import has_compiler
from regrow.training.log import Callback
from regrow.training.packing import network_bpb
from regrow.training.trainer import Trainer

_MATRIX_BYTES = 0.9  # bytes an entry of an int8 matrix, estimated before training
_STREAMS = 64  # streams that held-out text is scored in
_WATCHED = 8  # sequences that the residual stream is read on
_ROOT_SEED = 1095


@dataclass(frozen=True)
class DepthArm:
    """A base to compare; `gain` is a rule of `scale_bases`. Run at all depths, or only at the deepest."""

    name: str
    base: BaseKind
    gain: str = "1"
    everywhere: bool = True


DEPTH_ARMS = (
    DepthArm("Hadamard", "hadamard"),
    DepthArm("QR", "qr"),
    DepthArm("Gaussian", "gaussian"),
    DepthArm("Gaussian, fan in", "gaussian", "fan in", everywhere=False),
    DepthArm("Hadamard, published gain", "hadamard", "1 / sqrt(in)", everywhere=False),
)


@dataclass(frozen=True, kw_only=True)
class Size(AnySize):
    """How large a run is. `model` and `depth_train` are of part "depth"; `flat` and `bytes_train` of part "bytes",
    whose `widths` by seeded matrices (width, heads, heads of keys) leave r to follow from the bytes of the first.
    `scored_tokens`: held-out tokens that a network is scored on."""

    model: ModelConfig
    depths: tuple[int, ...]
    seeds: int = 3
    depth_train: TrainConfig
    flat: ModelConfig
    bytes_train: TrainConfig
    widths: tuple[tuple[Literal["all", "mlp", "none"], int, int, int], ...]
    scored_tokens: int = 32_768
    compiled: bool = True


def _train(batch_tokens: int, seq_len: int, *, steps: int = 0, seconds: float = 0.0) -> TrainConfig:
    return TrainConfig(
        batch_tokens=batch_tokens, seq_len=seq_len, max_steps=steps, max_seconds=seconds, closing=0.0, log_every=1,
        lr_matrix=0.01, lr_embed=0.02, lr_scalar=0.02,
    )  # fmt: skip


# About seven minutes on two cores: 24 networks at equal steps, 9 at equal time.
FULL = Size(
    1024, model=ModelConfig(d_model=192, n_head=6, n_kv_head=2, seeded="all", r=64, window=128), depths=(5, 11),
    depth_train=_train(2048, 512, steps=64), flat=ModelConfig(n_layer=4, window=128),
    bytes_train=_train(2048, 512, seconds=10.0),
    widths=(("none", 192, 6, 2), ("mlp", 256, 8, 2), ("all", 256, 8, 2)),
)  # fmt: skip
_SMALL = ModelConfig(n_layer=1, mlp_ratio=2.0, window=64, rope_dims=8)
QUICK = Size(
    320, "quick", depths=(2, 3), seeds=2, depth_train=_train(512, 128, steps=4), flat=_SMALL,
    model=msgspec.structs.replace(_SMALL, d_model=64, n_head=2, n_kv_head=2, seeded="all", r=16),
    bytes_train=_train(512, 128, seconds=0.2), scored_tokens=2048, compiled=False,
    widths=(("none", 64, 2, 2), ("mlp", 64, 2, 2), ("all", 64, 2, 2)),
)  # fmt: skip
SIZES = {"": FULL, "quick": QUICK}


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Run the bench on `data`. Raises ConfigError under torchrun: the bench is one process."""
    keep_freed_pages()
    started = time.perf_counter()
    with process_group() as group:
        if group.world_size > 1:
            raise ConfigError("bench bases: runs in one process; start it without torchrun.")
        bench = _Bench(data, size, group, progress)
        runs = [*bench.depth_part(), *bench.bytes_part()]
        dtype = str(compute_dtype(group.device))
        return {
            **about(data, device=str(group.device), dtype=dtype, compiled=bench.compile == "on"),
            "size": size.name, "seconds": time.perf_counter() - started, "model": msgspec.to_builtins(size.model),
            "scored": {"bytes": len(bench.scored.val_bytes), "tokens": len(bench.scored.val_tokens)},
            "train": {"depth": msgspec.to_builtins(size.depth_train), "bytes": msgspec.to_builtins(size.bytes_train)},
            "gains": bench.gains, "runs": runs,
        }  # fmt: skip


def arms(found: Found, part: str) -> list[str]:
    """The arms of a part of a result, in the order in which they were run."""
    return list(dict.fromkeys(run["arm"] for run in found["runs"] if run["part"] == part))


def depths(found: Found) -> list[int]:
    """The depths that were compared."""
    return sorted({run["n_layer"] for run in found["runs"] if run["part"] == "depth"})


def runs_of(found: Found, part: str, arm: str, n_layer: int | None = None) -> list[Row]:
    """The runs of an arm (at a depth), by seed."""
    runs = [
        r for r in found["runs"] if (r["part"], r["arm"]) == (part, arm) and n_layer in (None, r["n_layer"])
    ]
    return sorted(runs, key=lambda run: run["seed"])


def summary(found: Found) -> dict[str, Any]:
    """The figures one wants first: mean held-out bpb by arm, and differences to the first arm."""
    told: dict[str, Any] = {"seconds": found["seconds"]}
    for part, field in (("depth", "bpb"), ("bytes", "bpb_int8")):
        names = arms(found, part)
        for arm in names:
            for n_layer in sorted({run["n_layer"] for run in runs_of(found, part, arm)}):
                runs = runs_of(found, part, arm, n_layer)
                against = runs_of(found, part, names[0], n_layer)
                bpb, gap = spread(r[field] for r in runs), paired(runs, against, field)
                told[f"{part}, {arm}, {n_layer} layers"] = {
                    field: bpb and bpb.mean, "deviation": bpb and bpb.deviation,
                    f"minus_{names[0]}": gap and gap[0], "interval_95": gap and gap[1],
                    **{key: runs[0][key] for key in ("d_model", "r", "tokens", "packed_bytes")},
                }  # fmt: skip
    return told


def configs_of_equal_bytes(size: Size, vocab_size: int) -> Iterator[ModelConfig]:
    """The networks of part "bytes", with the r at which their estimated bytes come nearest those of the first.

    Raises ConfigError if even r = 2 is too large, or only an r above the width would do.
    """
    wanted = 0
    for seeded, d_model, n_head, n_kv_head in size.widths:
        config = msgspec.structs.replace(
            size.flat, seeded=seeded, d_model=d_model, n_head=n_head, n_kv_head=n_kv_head, r=0
        )
        wanted = wanted or estimated_bytes(config, vocab_size)
        if seeded != "none":
            # Bytes are linear in r from 2 on; an adapter of r = 1 is two vectors, which are stored otherwise.
            two, three = (estimated_bytes(msgspec.structs.replace(config, r=r), vocab_size) for r in (2, 3))
            config = msgspec.structs.replace(config, r=2 + round((wanted - two) / (three - two)))
            if not 2 <= config.r <= d_model:
                raise ConfigError(
                    f"bench bases: seeded = {seeded} at width {d_model} needs r = {config.r} for {wanted:,} bytes; "
                    "choose another width."
                )
        yield config


def estimated_bytes(config: ModelConfig, vocab_size: int) -> int:
    """What a network is expected to take in an artifact, before it is trained, in bytes."""
    parameters = list(Transformer(config, vocab_size, 64, 1).parameters())
    matrices = sum(p.numel() for p in parameters if is_matrix(p))
    return round(_MATRIX_BYTES * matrices) + 2 * sum(p.numel() for p in parameters if not is_matrix(p))


class _Losses(Callback):
    """Keeps the losses of a run."""

    def __init__(self) -> None:
        self.nats: list[float] = []

    def on_step(self, record: Mapping[str, float]) -> None:
        """See `regrow.training.log.Callback`."""
        self.nats.append(record["loss"])


class _Bench:
    """A run of the bench under way."""

    def __init__(self, data: Dataset, size: Size, group: ProcessGroup, progress: Progress) -> None:
        self.data, self.size, self.group, self.progress = data, size, group, progress
        self.scored = share_of_validation(data, size.scored_tokens)
        self.gains: dict[str, dict[str, dict[str, float]]] = {}
        compiled = size.compiled and (group.device.type == "cuda" or has_compiler())
        self.compile: Literal["on", "off"] = "on" if compiled else "off"

    def depth_part(self) -> Iterator[Row]:
        """Every base at every depth, the same steps."""
        # Seeds outermost: if the machine changes its pace, it does so for every arm alike.
        for seed in range(1, self.size.seeds + 1):
            for n_layer in self.size.depths:
                for arm in DEPTH_ARMS:
                    if arm.everywhere or n_layer == self.size.depths[-1]:
                        config = msgspec.structs.replace(self.size.model, n_layer=n_layer, base=arm.base)
                        yield self._run("depth", arm.name, config, seed, arm.gain)

    def bytes_part(self) -> Iterator[Row]:
        """Every choice of seeded matrices, the same bytes and the same seconds."""
        configs = list(configs_of_equal_bytes(self.size, self.data.vocab_size))
        for seed in range(1, self.size.seeds + 1):
            for config in configs:
                yield self._run("bytes", config.seeded, config, seed, "1")

    def _run(self, part: str, arm: str, config: ModelConfig, seed: int, gain: str) -> Row:
        train = msgspec.structs.replace(
            self.size.depth_train if part == "depth" else self.size.bytes_train,
            seed=derive_seed(_ROOT_SEED, f"bench.{seed}") % 2**63, compile=self.compile,
        )  # fmt: skip
        torch.compiler.reset()  # else the second width would be compiled for any, which is slower
        self.progress.log(
            f"{part}: {arm}, {config.n_layer} layers, width {config.d_model}, r {config.r}, seed {seed}"
        )
        losses = _Losses()
        with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
            whole = Config(model=config, memory=MemoryConfig(kind="none"), train=train)
            trainer = Trainer(whole, self.data, Path(scratch), self.group, self.progress, [losses])
            state, network = trainer.state, trainer.state.network
            scale_bases(network, gain)
            if part == "depth":
                self.gains.setdefault(arm, base_facts(network))
            at_start = residual_rms(network, self.scored, _WATCHED, train.seq_len)
            trainer.loop()
        last = losses.nats[-max(1, len(losses.nats) // 10) :]
        bpb, packed, bpb_int8 = self._bpb(network), None, None
        if part == "bytes" and bpb is not None:
            stored = copy.deepcopy(network).cpu()
            packed = pack_weights(stored)
            load_weights(stored, packed, arm)
            bpb_int8 = self._bpb(stored.to(self.group.device))
        return {
            "part": part, "arm": arm, "seed": seed, "base": config.base if config.seeded != "none" else "none",
            "gain": gain, "seeded": config.seeded, "n_layer": config.n_layer, "d_model": config.d_model,
            "r": config.r, "trained": sum(p.numel() for p in network.parameters()),
            "frozen": sum(m.base.numel() for m in network.modules() if isinstance(m, SeededLinear)),
            "steps": state.step, "tokens": state.tokens, "seconds": state.elapsed,
            "train_nats": _finite(math.fsum(last) / len(last)), "bpb": bpb, "rms_start": at_start,
            "rms_end": residual_rms(network, self.scored, _WATCHED, train.seq_len),
            "adapter_share": adapter_share(network),
            "estimated_bytes": estimated_bytes(config, self.data.vocab_size) if part == "bytes" else None,
            "packed_bytes": None if packed is None else len(packed), "bpb_int8": bpb_int8,
        }  # fmt: skip

    def _bpb(self, network: Transformer) -> float | None:
        return _finite(network_bpb(network, self.scored, EvalConfig(streams=_STREAMS)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

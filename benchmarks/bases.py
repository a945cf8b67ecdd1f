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
import time
from typing import Any

import msgspec
import torch

from benchmarks.bases_result import SCHEMA, BasesResult, Figures, paired, spread
from benchmarks.bases_size import DEPTH_ARMS, Size
from benchmarks.dated import this_machine, today, version
from benchmarks.inside import adapter_share, base_facts, residual_rms, scale_bases
from benchmarks.texts import share_of_validation
from benchmarks.training import Kernels, make_kernels, train_network
from regrow.artifact.artifact import is_matrix, load_weights, pack_weights
from regrow.core.config.schema import ModelConfig, TrainConfig
from regrow.core.dist import process_group
from regrow.core.errors import ConfigError
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype, keep_freed_pages
from regrow.network.hadamard import derive_seed
from regrow.network.lora import SeededLinear
from regrow.network.transformer import Transformer
from regrow.training.packing import network_bpb

_MATRIX_BYTES = (
    0.9  # bytes an entry of an int8 matrix, as `regrow.training.packing` estimates them before training
)
_STREAMS = 64  # streams that held-out text is scored in
_WATCHED = 8  # sequences that the residual stream is read on
_ROOT_SEED = 1095


def measure(data: Dataset, size: Size, progress: Progress) -> BasesResult:
    """Run the bench on `data`. Raises ConfigError under torchrun: the bench is one process."""
    keep_freed_pages()
    started = time.perf_counter()
    with process_group() as group:
        if group.world_size > 1:
            raise ConfigError("bench bases: runs in one process; start it without torchrun.")
        bench = _Bench(data, size, group.device, progress)
        runs = [*bench.depth_part(), *bench.bytes_part()]
        dtype = compute_dtype(group.device)
        return BasesResult(
            schema=SCHEMA,
            bench="bases",
            size=size.name,
            date=today(),
            version=version(),
            seconds=time.perf_counter() - started,
            machine=this_machine(group.device, dtype, compiled=bench.kernels.compiled),
            data=data.counts,
            scored={"bytes": len(bench.scored.val_bytes), "tokens": len(bench.scored.val_tokens)},
            model=msgspec.to_builtins(size.model),
            train={
                "depth": msgspec.to_builtins(size.depth_train),
                "bytes": msgspec.to_builtins(size.bytes_train),
            },
            gains=bench.gains,
            runs=runs,
        )


def summary(result: BasesResult) -> dict[str, Any]:
    """The figures one wants first: mean held-out bpb by arm, and differences to the first arm."""
    deepest = result.depths()[-1]
    first = result.arms("depth")[0]
    depth: dict[str, Any] = {}
    for arm in result.arms("depth"):
        for n_layer in result.depths():
            runs = result.of("depth", arm, n_layer)
            if runs:
                key = f"{arm}, {n_layer} layers"
                found, gap = spread([r.bpb for r in runs]), paired(runs, result.of("depth", first, n_layer))
                depth[key] = {
                    "bpb": found and found.mean,
                    "deviation": found and found.deviation,
                    f"minus_{first}": gap and gap[0],
                    "interval_95": gap and gap[1],
                    "rms_last": runs[0].rms_end[-1],
                }
    equal: dict[str, Any] = {}
    for arm in result.arms("bytes"):
        runs = result.of("bytes", arm)
        packed, bpb = spread([r.packed_bytes for r in runs]), spread([r.bpb_int8 for r in runs])
        equal[arm] = {
            "bpb_int8": bpb and bpb.mean,
            "deviation": bpb and bpb.deviation,
            "packed_bytes": packed and round(packed.mean),
            "estimated_bytes": runs[0].estimated_bytes,
            "d_model": runs[0].d_model,
            "r": runs[0].r,
            "tokens": runs[0].tokens,
        }
    return {"seconds": result.seconds, "deepest": deepest, "depth": depth, "equal bytes and time": equal}


def equal_r(config: ModelConfig, vocab_size: int, target_bytes: int) -> int:
    """The r at which a seeded network's estimated bytes come nearest `target_bytes`.

    Raises ConfigError if even r = 2 is too large, or only an r above the width would do.
    """
    # Bytes are linear in r from 2 on; an adapter of r = 1 is two vectors, which are stored otherwise.
    two, three = (
        estimated_bytes(_network(msgspec.structs.replace(config, r=r), vocab_size, 64, 1)) for r in (2, 3)
    )
    r = 2 + round((target_bytes - two) / (three - two))
    if not 2 <= r <= config.d_model:
        raise ConfigError(
            f"bench bases: seeded = {config.seeded} at width {config.d_model} needs r = {r} for "
            f"{target_bytes:,} bytes; choose another width."
        )
    return r


def estimated_bytes(network: Transformer) -> int:
    """What the network is expected to take in an artifact, before it is trained, in bytes."""
    matrices = sum(p.numel() for p in network.parameters() if is_matrix(p))
    vectors = sum(p.numel() for p in network.parameters() if not is_matrix(p))
    return round(_MATRIX_BYTES * matrices) + 2 * vectors


class _Bench:
    """A run of the bench under way."""

    def __init__(self, data: Dataset, size: Size, device: torch.device, progress: Progress) -> None:
        self.data, self.size, self.device, self.progress = data, size, device, progress
        self.scored = share_of_validation(data, size.scored_tokens)
        self.kernels: Kernels = make_kernels(device, compiled=size.compiled)
        self.gains: dict[str, dict[str, dict[str, float]]] = {}
        # Seeds outermost: if the machine changes its pace, it does so for every arm alike.
        self.seeds = [(n, derive_seed(_ROOT_SEED, f"bench.{n}")) for n in range(1, size.seeds + 1)]

    def depth_part(self) -> list[Figures]:
        """Every base at every depth, the same steps."""
        runs = []
        for seed_number, seed in self.seeds:
            for n_layer in self.size.depths:
                for arm in DEPTH_ARMS:
                    if not arm.everywhere and n_layer != self.size.depths[-1]:
                        continue
                    config = msgspec.structs.replace(self.size.model, n_layer=n_layer, base=arm.base)
                    network = self._network(config, self.size.depth_train, seed, arm.gain)
                    self.gains.setdefault(arm.name, base_facts(network))
                    label = f"{arm.name}, {n_layer} layers, seed {seed_number}"
                    runs.append(self._run("depth", label, arm.name, network, seed_number, arm.gain))
        return runs

    def bytes_part(self) -> list[Figures]:
        """Every choice of seeded matrices, the same bytes and the same seconds."""
        vocab_size, target = self.data.vocab_size, 0
        configs: list[ModelConfig] = []
        for arm in self.size.bytes_arms:
            shape = {"d_model": arm.d_model, "n_head": arm.n_head, "n_kv_head": arm.n_kv_head}
            config = msgspec.structs.replace(self.size.flat, seeded=arm.seeded, r=0, **shape)
            if not configs:
                target = estimated_bytes(_network(config, vocab_size, self.size.bytes_train.seq_len, 1))
            if arm.seeded != "none":
                config = msgspec.structs.replace(config, r=equal_r(config, vocab_size, target))
            configs.append(config)
            sized = _network(config, vocab_size, self.size.bytes_train.seq_len, 1)
            self.progress.say(
                f"seeded = {arm.name}: width {config.d_model}, r {config.r}, about "
                f"{estimated_bytes(sized):,} bytes"
            )
        runs = []
        for seed_number, seed in self.seeds:
            for arm, config in zip(self.size.bytes_arms, configs, strict=True):
                network = self._network(config, self.size.bytes_train, seed, "1")
                label = f"seeded = {arm.name}, seed {seed_number}"
                runs.append(self._run("bytes", label, arm.name, network, seed_number, "1"))
        return runs

    def _network(self, config: ModelConfig, train: TrainConfig, seed: int, gain: str) -> Transformer:
        network = _network(config, self.data.vocab_size, train.seq_len, seed).to(self.device)
        scale_bases(network, gain)
        return network

    def _run(self, part: str, label: str, arm: str, network: Transformer, seed: int, gain: str) -> Figures:
        train = self.size.depth_train if part == "depth" else self.size.bytes_train
        at_start = residual_rms(network, self.scored, _WATCHED, train.seq_len)
        trained = train_network(network, self.data, train, self.kernels, self.progress, label)
        at_end = residual_rms(network, self.scored, _WATCHED, train.seq_len)
        bpb = None if trained.diverged else _finite(network_bpb(network, self.scored, _STREAMS))
        packed: bytes | None = None
        bpb_int8: float | None = None
        if part == "bytes" and bpb is not None:
            stored = copy.deepcopy(network).cpu()
            packed = pack_weights(stored)
            load_weights(stored, packed, label)
            bpb_int8 = _finite(network_bpb(stored.to(self.device), self.scored, _STREAMS))
        config = network.config
        return Figures(
            part=part, arm=arm, seed=seed, base=config.base if config.seeded != "none" else "none", gain=gain,
            seeded=config.seeded, n_layer=config.n_layer, d_model=config.d_model, r=config.r,
            trained=sum(p.numel() for p in network.parameters()),
            frozen=sum(m.base.numel() for m in network.modules() if isinstance(m, SeededLinear)),
            steps=trained.steps, tokens=trained.tokens, seconds=trained.seconds,
            train_nats=trained.train_nats,
            bpb=bpb, rms_start=[_finite(x) for x in at_start], rms_end=[_finite(x) for x in at_end],
            adapter_share=_finite(adapter_share(network)),
            estimated_bytes=estimated_bytes(network) if part == "bytes" else None,
            packed_bytes=len(packed) if packed is not None else None, bpb_int8=bpb_int8,
        )  # fmt: skip


def _network(config: ModelConfig, vocab_size: int, seq_len: int, seed: int) -> Transformer:
    return Transformer(config, vocab_size, seq_len, seed)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

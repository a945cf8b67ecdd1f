"""What one GPU trains: the presets `published` and `record` for a few minutes each, `regrow bench gpu`.

regrow bench gpu --train FILE --val FILE    tokens per second and bits per byte of each preset, and of `baseline`, an
                                            ordinary network without memory, in the same minutes
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from regrow.core.config.load import apply_overrides, load_preset
from regrow.core.dist import process_group
from regrow.core.errors import EnvironmentProblem
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.training.packing import network_bpb
from regrow.training.trainer import Trainer


@dataclass(frozen=True)
class Size(AnySize):
    """`seconds` of training each preset gets, changes of all of them, and the kind of device."""

    seconds: float = 180.0
    changes: tuple[str, ...] = ("train.batch_tokens=65_536",)  # an eighth: the presets are for eight GPUs
    device: str = "cuda"


_SMALL = (
    "model.n_layer=1", "model.d_model=64", "model.n_head=2", "model.n_kv_head=2", "model.rope_dims=16", "model.r=4",
    "train.seq_len=64", "train.batch_tokens=512", "train.compile=off", "memory.max_order=3", "train.log_every=1",
)  # fmt: skip
SIZES = {"": Size(1024), "quick": Size(300, "quick", 1.0, _SMALL, "cpu")}
PRESETS = ("published", "record", "baseline")


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Every preset once. Raises EnvironmentProblem where there is no such device, and what training raises."""
    if size.device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            "bench gpu: torch sees no GPU; run it on a machine with one, or bench gpu:quick to see that it works."
        )
    arms = [_arm(name, data, size, progress) for name in PRESETS]
    name = torch.cuda.get_device_name() if size.device == "cuda" else "cpu"
    dtype = str(compute_dtype(torch.device(size.device)))
    return {**about(data, device=name, dtype=dtype), "seconds": size.seconds, "arms": arms}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of each preset: tokens per second, tokens seen, and the network's bits per byte on the held-out text."""
    return {
        arm["preset"]: {key: value for key, value in arm.items() if key != "preset"} for arm in found["arms"]
    }


def _arm(name: str, data: Dataset, size: Size, progress: Progress) -> dict[str, Any]:
    progress.log(f"preset: {name}")
    changes = (f"data.vocab_size={data.vocab_size}", f"train.max_seconds={size.seconds}", *size.changes)
    config = apply_overrides(load_preset(name), list(changes))
    with (
        tempfile.TemporaryDirectory(prefix="regrow-bench-gpu-") as out,
        process_group(progress.log, size.device) as one,
    ):
        trainer = Trainer(config, data, Path(out), one, progress)
        trainer.loop()
        state = trainer.state
        network = state.averaged or state.network
        return {
            "preset": name, "tokens_per_second": state.speed, "tokens_seen": state.tokens,
            "bpb": network_bpb(network, data, config.eval, one, state.read_memory),
        }  # fmt: skip

"""The bench of adapting: what each part of it saves on one text, what it costs, and where in the text it saves.

regrow bench adaptive                                       the demo on the tuning split, and its held-out part
regrow bench adaptive --train FILE --val FILE               the same on other text
regrow bench adaptive --artifact FILE --val DIR|FILE        an artifact that is there already

Arms: `fixed`, the predictor of `blended` and of the fixed proof; `windows`, the same in windows that overlap;
`few streams`, the same in the streams of the adaptive predictor, which is how much of what follows is due to fewer cold
starts; `memory`, counts of recent text and the online mixer; `training`, score-first training of the adapters
alone; `all`. The last line of an arm that has one is its proof.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.dated import Machine, save_dated, this_machine, today, version
from benchmarks.texts import bench_data
from regrow.artifact.artifact import Artifact
from regrow.core.config.load import load_preset
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Progress
from regrow.core.results import Proof
from regrow.data.dataset import read_text_argument
from regrow.network.compute import compute_dtype
from regrow.predict.adaptive.predictor import Adaptation, adaptation_of
from regrow.predict.evaluation import score_adaptively, score_streams, score_windows
from regrow.predict.proof import prove
from regrow.training.trainer import train as train_run

SCHEMA = 1
_BINS = 40  # of the text, by bytes
_NO_TRAINING = ("eval.ttt=none",)


class Arm(msgspec.Struct, frozen=True):
    """One way to score: bits per byte, seconds, and the bits of each of the text's equal parts."""

    name: str
    bpb: float
    seconds: float
    bits: list[float]


class AdaptiveResult(msgspec.Struct, frozen=True):
    """One text under every arm. `stride`: tokens of the overlapping windows; `settings`: how the others adapt;
    `memory_tokens_per_second`: recent text and online mixer, without network and stored memory."""

    schema: int
    date: str
    version: str
    machine: Machine
    text: str
    raw_bytes: int
    tokens: int
    artifact_bytes: int
    streams: int
    stride: int
    settings: str
    arms: list[Arm]
    memory_tokens_per_second: float
    proofs: dict[str, Proof]

    @classmethod
    def load(cls, path: Path) -> AdaptiveResult:
        """A result that this bench wrote. Raises DataError."""
        try:
            result = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{path}: is no result of bench adaptive ({error}).") from error
        if result.schema != SCHEMA:
            raise DataError(f"{path}: schema {result.schema}, not {SCHEMA}; run regrow bench adaptive again.")
        return result

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)


def run(train: Path | None, val: Path | None, artifact: Path | None, progress: Progress) -> dict[str, Any]:
    """Measure, write the dated result, and return its summary. Raises ConfigError, DataError."""
    if artifact is not None:
        if val is None or train is not None:
            raise ConfigError(
                f"--artifact {artifact}: give --val DIR|FILE, the text to score, and no --train."
            )
        result = measure(artifact, val, val.name, progress)
    else:
        config = load_preset("demo")
        with (
            bench_data(train, val, config.data.vocab_size, progress) as data,
            tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch,
        ):
            folder = Path(scratch)
            # The budget and the loading time are the demo's text's; another text is stored whole.
            pack = msgspec.structs.replace(config.pack, budget_bytes=16_000_000, load_seconds=0.0)
            trained = train_run(msgspec.structs.replace(config, pack=pack), data, folder, progress=progress)
            (folder / "val.txt").write_bytes(data.val_bytes)
            result = measure(trained.artifact, folder / "val.txt", data.name, progress)
    path = save_dated("adaptive", result)
    return {"result": str(path), **summary(result)}


def summary(result: AdaptiveResult) -> dict[str, Any]:
    """What is printed: bits per byte by arm, what each saves, and what is proven."""
    fixed = result.arm("fixed").bpb
    return {
        "text": result.text,
        "bpb": {arm.name: arm.bpb for arm in result.arms},
        "saved": {arm.name: fixed - arm.bpb for arm in result.arms},
        "seconds": {arm.name: arm.seconds for arm in result.arms},
        "proven": {name: proof.bpb for name, proof in result.proofs.items()},
        "memory_tokens_per_second": result.memory_tokens_per_second,
    }


def measure(artifact: Path, text: Path, name: str, progress: Progress) -> AdaptiveResult:
    """Score `text` under every arm, and prove `fixed`, `memory` and `all`."""
    loaded = Artifact.load(artifact)
    raw = read_text_argument(text)
    tokens = loaded.tokenizer.encode(raw)
    to_bpb = 1 / math.log(2) / len(raw)
    place = _places(loaded, tokens)

    def arm(title: str, nats: NDArray[np.float64], seconds: float) -> Arm:
        bits = np.bincount(place, weights=nats / math.log(2), minlength=_BINS)
        return Arm(title, float(nats.sum()) * to_bpb, seconds, bits.tolist())

    started = time.perf_counter()
    fixed = score_streams(loaded, [tokens], progress).blended
    arms = [arm("fixed", fixed, time.perf_counter() - started)]
    stride = (loaded.config.eval.window or loaded.config.train.seq_len) // 2
    started = time.perf_counter()
    windows = score_windows(loaded, [tokens], stride, progress).blended
    arms.append(arm("windows", windows, time.perf_counter() - started))
    without = adaptation_of(loaded.config, _NO_TRAINING)
    score_adaptively(loaded, tokens[:1024], without)  # compiled code is fetched
    memory = score_adaptively(loaded, tokens, without, progress)
    arms.append(arm("few streams", memory.blended, memory.seconds["artifact"]))
    arms.append(arm("memory", memory.adapted, memory.seconds["artifact"] + memory.seconds["memory"]))
    proofs = {"fixed": prove(artifact, text, progress)}
    proofs["memory"] = prove(artifact, text, progress, adapt=True, overrides=_NO_TRAINING)
    everything: Adaptation = adaptation_of(loaded.config)
    if everything.ttt != "none" and everything.chunk_tokens < len(tokens):
        both = score_adaptively(loaded, tokens, everything, progress)
        trained = both.seconds["artifact"] + both.seconds["training"]
        arms.append(arm("training", both.blended, trained))
        arms.append(arm("all", both.adapted, trained + both.seconds["memory"]))
        proofs["all"] = prove(artifact, text, progress, adapt=True)
    device = loaded.network.embedding.device
    return AdaptiveResult(
        SCHEMA, today(), version(), this_machine(device, compute_dtype(device), compiled=False), name, len(raw),
        len(tokens), loaded.ledger.total, loaded.config.eval.streams, stride, everything.sentence(), arms,
        len(tokens) / max(memory.seconds["memory"], 1e-9), proofs,
    )  # fmt: skip


def _places(artifact: Artifact, tokens: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Which of the equal parts of the text each token begins in."""
    sizes = np.array([len(piece) for piece in artifact.tokenizer.token_bytes], np.int64)[tokens]
    starts = np.cumsum(sizes) - sizes
    places: NDArray[np.int64] = np.minimum(starts * _BINS // max(1, int(sizes.sum())), _BINS - 1)
    return places

"""The bench of the adaptive predictor: what each part of it saves on one text, at what cost, and where in the text.

regrow bench adaptive                                       the demo on the tuning split, and its held-out part
regrow bench adaptive --train FILE --val FILE               the same on other text
regrow bench adaptive --artifact FILE --val DIR|FILE        an artifact that is there already

Arms: `fixed`, the predictor of `bpb.blended` and of the fixed proof; `windows`, the same in windows that overlap;
`few streams`, the same in the streams of the adaptive predictor, which is how much of what follows is due to fewer cold
starts; `memory`, counts of recent text and the online mixer; `training`, score-first training of the adapters
alone; `all`. The last line of an arm that has one is its proof.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.dated import Found, Size, about
from benchmarks.timing import timed
from regrow.artifact.artifact import Artifact
from regrow.core.config.load import load_preset
from regrow.core.errors import ConfigError
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset, read_text_argument
from regrow.network.compute import compute_dtype
from regrow.predict.adaptive.predictor import Adaptation, adaptation_of
from regrow.predict.evaluation import score_adaptively, score_streams, score_windows
from regrow.predict.predictor import mixture_of
from regrow.predict.proof import prove
from regrow.training.trainer import train as train_run

SIZES = {"": Size(load_preset("demo").data.vocab_size)}
_BINS = 40  # of the text, by bytes
_NO_TRAINING = ("eval.ttt=none",)


def measure_artifact(artifact: Path, train: Path | None, val: Path | None, progress: Progress) -> Found:
    """`measure` on an artifact that is there already. Raises ConfigError without a text, or for training text."""
    if val is None or train is not None:
        raise ConfigError(f"--artifact {artifact}: give --val DIR|FILE, the text to score, and no --train.")
    return _score(artifact, val, val.name, progress)


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Train the demo on `data`, score its held-out text under every arm, and prove `fixed`, `memory` and `all`."""
    config = load_preset("demo")
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        folder = Path(scratch)
        # The budget and the loading time are the demo's text's; another text is stored whole.
        pack = msgspec.structs.replace(config.pack, budget_bytes=16_000_000, load_seconds=0.0)
        trained = train_run(msgspec.structs.replace(config, pack=pack), data, folder, progress=progress)
        (folder / "val.txt").write_bytes(data.val_bytes)
        return _score(trained.artifact, folder / "val.txt", data.name, progress)


def summary(found: Found) -> dict[str, Any]:
    """What is printed: bits per byte by arm, what each saves, and what is proven."""
    arms = {arm["name"]: arm for arm in found["arms"]}
    return {
        "text": found["text"],
        "bpb": {name: arm["bpb"] for name, arm in arms.items()},
        "saved": {name: arms["fixed"]["bpb"] - arm["bpb"] for name, arm in arms.items()},
        "seconds": {name: arm["seconds"] for name, arm in arms.items()},
        "proven": {name: proof["bpb"] for name, proof in found["proofs"].items()},
        "memory_tokens_per_second": found["memory_tokens_per_second"],
    }


def _score(artifact: Path, text: Path, name: str, progress: Progress) -> Found:
    """An arm has `bpb`, `seconds`, and the `bits` of each of the text's equal parts. `stride`: tokens of the windows
    that overlap; `memory_tokens_per_second`: recent text and online mixer, without network and stored memory."""
    loaded = Artifact.load(artifact)
    raw = read_text_argument(text)
    tokens = loaded.tokenizer.encode(raw)
    to_bpb = 1 / math.log(2) / len(raw)
    place = _places(loaded, tokens)

    def arm(title: str, nats: NDArray[np.float64], seconds: float) -> Found:
        bits = np.bincount(place, weights=nats / math.log(2), minlength=_BINS)
        return {"name": title, "bpb": float(nats.sum()) * to_bpb, "seconds": seconds, "bits": bits.tolist()}

    mixture, making = timed(lambda: mixture_of(loaded))
    fixed, seconds = timed(lambda: score_streams(mixture, loaded.config.eval, [tokens], progress).mixture)
    arms = [arm("fixed", fixed, making + seconds)]
    stride = (loaded.config.eval.window or loaded.config.train.seq_len) // 2
    windows = timed(lambda: score_windows(mixture, loaded.config, [tokens], stride, progress).mixture)
    arms.append(arm("windows", *windows))
    without = adaptation_of(loaded.config, _NO_TRAINING)
    score_adaptively(loaded, tokens[:1024], without)  # compiled code is fetched
    memory = score_adaptively(loaded, tokens, without, progress)
    arms.append(arm("few streams", memory.mixture, memory.seconds["artifact"]))
    arms.append(arm("memory", memory.adapted, memory.seconds["artifact"] + memory.seconds["memory"]))
    proofs = {"fixed": prove(artifact, text, progress)}
    proofs["memory"] = prove(artifact, text, progress, adapt=_NO_TRAINING)
    everything: Adaptation = adaptation_of(loaded.config)
    if everything.ttt != "none" and everything.chunk_tokens < len(tokens):
        both = score_adaptively(loaded, tokens, everything, progress)
        trained = both.seconds["artifact"] + both.seconds["training"]
        arms.append(arm("training", both.mixture, trained))
        arms.append(arm("all", both.adapted, trained + both.seconds["memory"]))
    device = loaded.network.embedding.device
    return {
        **about(None, device=str(device), dtype=str(compute_dtype(device)), compiled=False), "text": name,
        "raw_bytes": len(raw), "tokens": len(tokens), "artifact_bytes": loaded.ledger.total,
        "streams": loaded.config.eval.streams, "stride": stride, "settings": everything.sentence(), "arms": arms,
        "memory_tokens_per_second": len(tokens) / max(memory.seconds["memory"], 1e-9),
        "proofs": msgspec.to_builtins(proofs),
    }  # fmt: skip


def _places(artifact: Artifact, tokens: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Which of the equal parts of the text each token begins in."""
    sizes = np.array([len(piece) for piece in artifact.tokenizer.token_bytes], np.int64)[tokens]
    starts = np.cumsum(sizes) - sizes
    places: NDArray[np.int64] = np.minimum(starts * _BINS // max(1, int(sizes.sum())), _BINS - 1)
    return places

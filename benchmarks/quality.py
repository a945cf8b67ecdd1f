"""The bench of quality: what a preset reaches on a text, part by part, beside compressors and a small GPT, in one run.

regrow bench quality                                        the preset `demo` on the tuning split of the years
regrow bench quality:PRESET --train FILE --val FILE         another preset on another text

Every peer gets the same held-out text, and the training text where it can use it: as a dictionary, as what it coded
before, or as the tokens it learns from. The GPT trains for exactly as many seconds as the network did, on the same
threads. A row says how many bytes a decoder must have beside its program.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from benchmarks.peers import kenlm_missing, run_kenlm, write_tokens
from benchmarks.seeds import Row
from benchmarks.small_gpt import gpt_nats, train_small_gpt
from regrow.artifact.artifact import Artifact
from regrow.core.config.load import load_preset, preset_names
from regrow.core.config.schema import Config
from regrow.core.progress import Progress
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.predict.evaluation import evaluate
from regrow.predict.proof import prepare, prove
from regrow.report.baselines import WINDOW, compressed_sizes, zstd_with
from regrow.training.compiled import has_compiler, pays
from regrow.training.trainer import train as train_run

_ORDER = 6  # of KenLM
_PPMD_ORDER, _PPMD_BYTES = 16, 3 << 30  # it forgets everything when its memory is full
_BLOCK = (
    16_384  # bytes of a sample that zstd's dictionary is trained on: better than smaller and than whole files
)


@dataclass(frozen=True)
class Size(AnySize):
    """The preset, and what is changed in it."""

    preset: str = "demo"
    changes: tuple[str, ...] = ()


def _size(name: str, preset: str, *changes: str) -> Size:
    return Size(load_preset(preset).data.vocab_size, name, preset, changes)


SIZES = {
    "": _size("full", "demo"),
    "quick": _size("quick", "demo", "train.max_seconds=20"),
    **{preset: _size("full", preset) for preset in preset_names()},
}


def measure(data: Dataset, size: Size, progress: Progress) -> Found:
    """Every row: its `name`, whether it is `ours`, `bpb`, and `decoder_bytes`; and of the two trained networks the
    tokens and seconds of their training."""
    config = load_preset(size.preset, size.changes)
    prepare()
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        rows, trained = _ours(config, data, Path(scratch), progress)
        with progress.task("a small GPT, as many seconds"):
            gpt = train_small_gpt(config, data, trained["seconds"], progress.log)
            nats = gpt_nats(gpt.network, np.asarray(data.val_tokens), data.tokenizer.bos_id)
        tokenizer = len(data.tokenizer.to_bytes())
        name = f"small GPT, {config.model.n_layer} layers of width {config.model.d_model}"
        rows.append(_row(name, nats / math.log(2) / len(data.val_bytes), tokenizer + gpt.stored_bytes))
        rows += [
            *_compressors(data, config.pack.budget_bytes, progress),
            *_kenlm(data, Path(scratch), tokenizer, progress),
        ]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compiled = pays(config.train) and has_compiler()
    return {
        **about(data, device=device.type, dtype=str(compute_dtype(device)), compiled=compiled),
        "size": size.name, "preset": size.preset,
        "training": {"regrow": trained, "small GPT": {"tokens": gpt.tokens, "seconds": gpt.seconds}},
        "rows": sorted(rows, key=lambda row: -row["bpb"]),
    }  # fmt: skip


def summary(found: Found) -> dict[str, Any]:
    """What is printed: bits per byte and a decoder's bytes of every row, worst first, and the training."""
    rows = {row["name"]: {key: row[key] for key in ("bpb", "decoder_bytes")} for row in found["rows"]}
    return {"text": found["text"]["name"], "training": found["training"], "rows": rows}


def _row(name: str, bpb: float, decoder_bytes: int, *, ours: bool = False) -> Row:
    return {"name": name, "ours": ours, "bpb": bpb, "decoder_bytes": decoder_bytes}


def _ours(config: Config, data: Dataset, folder: Path, progress: Progress) -> tuple[list[Row], Found]:
    """Each part of the artifact alone, the mixture, both proofs; and what training took."""
    run = train_run(config, data, folder / "run", progress=progress)
    text = folder / "val.txt"
    text.write_bytes(data.val_bytes)
    loaded = Artifact.load(run.artifact)
    found = evaluate(loaded, text, stride=None, progress=progress)
    parts, bpb, whole = found.bytes, found.bpb, found.bytes["total"]
    of_memory = parts.get("memory", 0)
    # A network that reads the memory needs it too.
    reads = config.model.memory_input > 0
    of_network = whole - parts.get("mixer", 0) - (0 if reads else of_memory)
    alone = [
        ("memory alone", bpb.memory, of_memory + parts["tokenizer"] + parts["manifest"]),
        ("network alone" + (", reading the memory" if reads else ""), bpb.neural, of_network),
        ("mixture, evaluated", bpb.blended, whole),
        ("proven", prove(loaded, text, progress).bpb, whole),
        ("proven, adaptive", prove(loaded, text, progress, adapt=True).bpb, whole),
    ]
    rows = [
        _row(f"regrow: {name}", value, size, ours=True) for name, value, size in alone if value is not None
    ]
    took = run.result.seconds.train or 0.0
    return rows, {"tokens": run.result.train_tokens_seen, "seconds": took, "artifact_bytes": whole}


def _compressors(data: Dataset, budget: int, progress: Progress) -> Iterator[Row]:
    text = data.val_bytes
    with progress.task("decode the training text"):
        before = data.tokenizer.decode(np.asarray(data.train_tokens))[-WINDOW:]

    def row(name: str, size: int, decoder_bytes: int) -> Row:
        return _row(name, 8 * size / len(text), decoder_bytes)

    with progress.task("gzip, bzip2, xz, zstd"):
        for name, (size, needed) in compressed_sizes(text, before).items():
            yield row(name, size, needed)
    with progress.task("zstd with a trained dictionary"):
        yield row("zstd -22 with a trained dictionary", *_trained_dictionary(text, before, budget))
    if importlib.util.find_spec("pyppmd") is None:
        progress.log("PPMd is left out: pip install pyppmd for its figures")
        return
    with progress.task("PPMd, alone and after the training text"):
        yield row(f"PPMd order {_PPMD_ORDER}", sum(_ppmd(text)), 0)
        stored, size = _ppmd(before, text)
        yield row(f"PPMd order {_PPMD_ORDER} after the training text", size, stored)


def _trained_dictionary(text: bytes, before: bytes, budget: int) -> tuple[int, int]:
    """Bytes of `text` with a dictionary of at most `budget`, and the dictionary's."""
    import zstandard

    block = min(_BLOCK, max(64, len(before) // 64))
    samples: list[Any] = [before[at : at + block] for at in range(0, len(before), block)]
    dictionary = zstandard.train_dictionary(min(budget, len(before) // 2), samples, k=1024, d=8, level=22)
    return len(zstd_with(dictionary, text)), len(dictionary.as_bytes())


def _ppmd(*texts: bytes) -> list[int]:
    """Bytes of each of the texts, one coded after the other by variant I."""
    encoder = importlib.import_module("pyppmd").Ppmd8Encoder(_PPMD_ORDER, _PPMD_BYTES)
    sizes = [len(encoder.encode(text)) for text in texts]
    sizes[-1] += len(encoder.flush())
    return sizes


def _kenlm(data: Dataset, scratch: Path, tokenizer_bytes: int, progress: Progress) -> Iterator[Row]:
    if missing := kenlm_missing():
        progress.log(f"KenLM is left out: {', '.join(missing)} not found on the path")
        return
    with progress.task("KenLM: estimate, store, score"):
        train, val = scratch / "train.tokens", scratch / "val.tokens"
        write_tokens(train, np.asarray(data.train_tokens), data.tokenizer.bos_id)
        write_tokens(val, np.asarray(data.val_tokens), data.tokenizer.bos_id)
        found = run_kenlm(scratch, train, val, _ORDER)
    name = f"KenLM order {_ORDER}, quantised trie"
    yield _row(name, found.bits / len(data.val_bytes), found.trie_bytes + tokenizer_bytes)

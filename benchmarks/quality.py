"""The bench of quality: what a preset reaches, part by part, beside compressors and a small GPT, in one run.

regrow bench quality                                        the preset `demo` on the tuning split of the years
regrow bench quality:PRESET --train FILE --val FILE         another preset on another text; both options may be given
                                                            again: one training on every `train`, a table for each `val`
regrow bench quality --official MODEL ...                   also the challenge's count of each text's tokens and bytes

Every peer gets the same held-out text, and the training text where it can use it: as a dictionary, as what it coded
before, or as the tokens it learns from. The GPT trains for exactly as many seconds as the network did, on the same
threads. A row says how many bytes a decoder must have beside its program.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.compressors import compressed
from benchmarks.dated import Found, about
from benchmarks.dated import Size as AnySize
from benchmarks.peers import kenlm_bits, kenlm_missing, run_kenlm, write_tokens
from benchmarks.seeds import Row
from benchmarks.small_gpt import gpt_nats, train_small_gpt
from benchmarks.texts import HeldOut
from regrow.artifact.artifact import Artifact
from regrow.challenge.official_bytes import official_count
from regrow.core.config.load import load_preset, preset_names
from regrow.core.config.schema import Config
from regrow.core.progress import Progress
from regrow.data.shards.foreign_tokenizer import load_foreign
from regrow.network.compute import compute_dtype
from regrow.predict.evaluation import evaluate
from regrow.predict.proof import prepare, prove
from regrow.report.baselines import WINDOW
from regrow.training.compiled import has_compiler, pays
from regrow.training.trainer import train as train_run

_ORDER = 6  # of KenLM


@dataclass(frozen=True)
class Size(AnySize):
    """The preset, and what is changed in it; the tokens of each text that are scored (0: all), and how much of the
    training text compressors are shown."""

    preset: str = "demo"
    changes: tuple[str, ...] = ()
    scored_tokens: int = 0
    before_bytes: int = WINDOW


SIZES = {
    "": Size(load_preset("demo").data.vocab_size),
    "quick": Size(
        load_preset("demo").data.vocab_size, "quick", changes=("train.max_seconds=20",), scored_tokens=32_768,
        before_bytes=1_000_000,
    ),
    **{preset: Size(load_preset(preset).data.vocab_size, preset=preset) for preset in preset_names()},
}  # fmt: skip


def measure(texts: Sequence[HeldOut], size: Size, progress: Progress, official: Path | None = None) -> Found:
    """Of each held-out text every row: its `name`, whether it is `ours`, `bpb`, and `decoder_bytes`; and the tokens and
    seconds that both networks were trained with.

    `official`: the challenge's SentencePiece model; its counts of each text are then in the result.
    """
    texts = [text.share(size.scored_tokens) for text in texts] if size.scored_tokens else texts
    config, data = load_preset(size.preset, size.changes), texts[0].data
    counts = _official_counts(texts, official)
    prepare()
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        run = train_run(config, data, Path(scratch, "run"), progress=progress)
        loaded = Artifact.load(run.artifact)
        seconds = run.result.seconds.train or 0.0
        ours = [_parts_of(loaded, text, Path(scratch, "val.txt"), progress) for text in texts]
        gpt, gpt_training = _small_gpt(config, texts, seconds, progress)
        with progress.task("decode the training text"):
            before = data.tokenizer.decode(np.asarray(data.train_tokens))[-size.before_bytes :]
        raw, budget = [text.data.val_bytes for text in texts], config.pack.budget_bytes
        peers = [*zip(gpt, compressed(raw, before, budget, progress), strict=True)]
        kenlm = _kenlm(texts, Path(scratch), progress)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compiled = pays(config.train) and has_compiler()
    about_it = about(data, device=device.type, dtype=str(compute_dtype(device)), compiled=compiled)
    trained_on = {key: value for key, value in about_it["text"].items() if not key.startswith("val_")}
    return {
        **about_it, "text": trained_on, "size": size.name, "preset": size.preset,
        "artifact_bytes": loaded.ledger.total, "official": official and official.name,
        "training": {
            "regrow": {"tokens": run.result.train_tokens_seen, "seconds": seconds}, "small GPT": gpt_training,
        },
        "texts": [
            {
                "name": text.name, "raw_bytes": len(text.data.val_bytes), "tokens": len(text.data.val_tokens),
                "sha256": text.data.counts["val_sha256"], "official": count,
                "rows": sorted([*own, of_gpt, *others, *of_kenlm], key=lambda row: -row["bpb"]),
            }
            for text, count, own, (of_gpt, others), of_kenlm in zip(texts, counts, ours, peers, kenlm, strict=True)
        ],
    }  # fmt: skip


def summary(found: Found) -> dict[str, Any]:
    """What is printed: the training, and of each text bits per byte and a decoder's bytes of every row, worst first,
    and the challenge's counts where they were asked for."""
    told: dict[str, Any] = {"trained_on": found["text"]["name"], "training": found["training"]}
    for text in found["texts"]:
        rows = {row["name"]: {key: row[key] for key in ("bpb", "decoder_bytes")} for row in text["rows"]}
        told[text["name"]] = {**({"official": text["official"]} if text["official"] else {}), "rows": rows}
    return told


def _row(name: str, bpb: float, decoder_bytes: int, *, ours: bool = False) -> Row:
    return {"name": name, "ours": ours, "bpb": bpb, "decoder_bytes": decoder_bytes}


def _official_counts(texts: Sequence[HeldOut], model: Path | None) -> list[Found | None]:
    if model is None:
        return [None] * len(texts)
    vocabulary = load_foreign(model)
    return [asdict(official_count(text.documents, vocabulary)) for text in texts]


def _parts_of(loaded: Artifact, held_out: HeldOut, text: Path, progress: Progress) -> list[Row]:
    """Each part of the artifact alone, the mixture, both proofs; the text is written to `text`."""
    text.write_bytes(held_out.data.val_bytes)
    found = evaluate(loaded, text, stride=None, progress=progress)
    parts, bpb, whole = found.bytes, found.bpb, found.bytes["total"]
    of_memory = parts.get("memory", 0)
    # A network that reads the memory needs it too.
    reads = loaded.config.model.memory_input > 0
    of_network = whole - parts.get("mixer", 0) - (0 if reads else of_memory)
    alone = [
        ("memory alone", bpb.memory, of_memory + parts["tokenizer"] + parts["manifest"]),
        ("network alone" + (", reading the memory" if reads else ""), bpb.neural, of_network),
        ("mixture, evaluated", bpb.blended, whole),
        ("proven", prove(loaded, text, progress).bpb, whole),
        ("proven, adaptive", prove(loaded, text, progress, adapt=True).bpb, whole),
    ]
    return [
        _row(f"regrow: {name}", value, size, ours=True) for name, value, size in alone if value is not None
    ]


def _small_gpt(
    config: Config, texts: Sequence[HeldOut], seconds: float, progress: Progress
) -> tuple[list[Row], Found]:
    """The GPT's row for each text, and its training."""
    data = texts[0].data
    with progress.task("a small GPT, as many seconds"):
        gpt = train_small_gpt(config, data, seconds, progress.log)
    size = len(data.tokenizer.to_bytes()) + gpt.stored_bytes
    name = f"small GPT, {config.model.n_layer} layers of width {config.model.d_model}"
    rows = []
    for text in texts:
        with progress.task(f"score {text.name} by the small GPT"):
            nats = gpt_nats(gpt.network, np.asarray(text.data.val_tokens), data.tokenizer.bos_id)
        rows.append(_row(name, nats / math.log(2) / len(text.data.val_bytes), size))
    return rows, {"tokens": gpt.tokens, "seconds": gpt.seconds}


def _kenlm(texts: Sequence[HeldOut], scratch: Path, progress: Progress) -> list[list[Row]]:
    """KenLM's rows for each text, none where it is not installed."""
    if missing := kenlm_missing():
        progress.log(f"KenLM is left out: {', '.join(missing)} not found on the path")
        return [[] for _ in texts]
    data, train, scored = texts[0].data, scratch / "train.tokens", scratch / "val.tokens"
    name, rows, size = f"KenLM order {_ORDER}, quantised trie", [], 0
    with progress.task("KenLM: estimate, store, score"):
        write_tokens(train, np.asarray(data.train_tokens), data.tokenizer.bos_id)
        for text in texts:
            write_tokens(scored, np.asarray(text.data.val_tokens), data.tokenizer.bos_id)
            if not size:
                found = run_kenlm(scratch, train, scored, _ORDER)
                bits, size = found.bits, found.trie_bytes + len(data.tokenizer.to_bytes())
            else:
                bits = kenlm_bits(scratch, scored)
            rows.append([_row(name, bits / len(text.data.val_bytes), size)])
    return rows

"""Benches: what is measured side by side, in one run, on one machine, and kept as a dated result.

regrow bench bases            Hadamard, QR and Gaussian bases; which matrices to seed
regrow bench ngram            the n-gram memory beside KenLM and tokengrams
regrow bench forms            its two stored forms at 1, 2, 4, 8 and 14 MB: bytes, load seconds, bits per byte
regrow bench prefill          counted while training, ahead of it, and ahead in parallel, at equal wall clock
regrow bench merge            counts of two processes made one: seconds and bytes, beside counting them
regrow bench scaling          what one core counts and merges; docs/scaling.md works out 8 and 64 GPUs from it
regrow bench published        the published hashed cache: its score, what that sums to, and the honest form
regrow bench adaptive         the predictor that learns from the text it has scored, part by part
regrow bench records          lines coded one by one, beside zstd with trained dictionaries; records:log the log alone,
                              records:text a text of yours alone
regrow bench gpu              the presets for GPUs, a few minutes each: tokens a second, bits per byte
regrow bench score            n-gram models scoring 100,000 lines, beside KenLM's Python module
regrow bench quality          a preset (quality:PRESET; else demo) beside compressors, KenLM and a small GPT, on one
                              held-out text or several
regrow bench sweep            the settings given with --set, in rounds that keep the better half; sweep:PRESET
regrow bench tokenize         1 GB of text to a data folder, beside SentencePiece's bare encoder; tokenize:200 on 200 MB

NAME:quick is the same in seconds, where there is one, to see that it works; its figures mean nothing.
`python -m benchmarks.pages` puts the newest results into the pages of docs/.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.core.config.load import preset_names
from regrow.core.errors import ConfigError
from regrow.core.progress import Progress

NAMES = (
    "bases", "bases:quick", "ngram", "forms", "prefill", "prefill:quick", "merge", "scaling", "published",
    "published:quick", "adaptive", "records", "records:log", "records:text", "records:quick", "gpu", "gpu:quick",
    "score", "score:quick", "tokenize", "tokenize:200", "tokenize:quick",
    "quality", "quality:quick", *(f"quality:{preset}" for preset in preset_names()),
    "sweep", "sweep:quick", *(f"sweep:{preset}" for preset in preset_names()),
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What the user gives a bench: text in the place of its own, which `quality` takes in several files; an `artifact`
    that `adaptive` scores on `val` as it is; for `quality` the challenge's model, for `sweep` settings: see there."""

    train: tuple[Path, ...] = ()
    val: tuple[Path, ...] = ()
    artifact: Path | None = None
    official: Path | None = None
    settings: tuple[str, ...] = ()


def run(name: str, given: Given, progress: Progress) -> dict[str, Any]:
    """Run the bench `name`, write its dated result, and return its summary with the path of that result.

    Raises ConfigError for a name there is none of, for what this bench does not take and for a `val` without a
    `train`, DataError for text that cannot be used.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}" if near else f"there is {', '.join(NAMES)}"
        raise ConfigError(f"bench {name}: there is none of that name; {hint}.")
    kind, _, size = name.partition(":")
    _check(name, kind, given)
    bench = importlib.import_module(f"benchmarks.{kind}")
    from benchmarks.dated import save_dated
    from benchmarks.texts import bench_data, bench_texts

    train, val = (next(iter(paths), None) for paths in (given.train, given.val))
    if given.artifact is not None:
        found = bench.measure_artifact(given.artifact, train, val, progress)
    elif kind in ("records", "score"):
        found = bench.measure(train, val, bench.SIZES[size], progress)
    elif kind == "tokenize":
        found = bench.measure(bench.own_text(train), bench.SIZES[size], progress)
    elif kind == "sweep":
        found = bench.measure(train, given.settings, bench.SIZES[size], progress)
    elif kind == "quality":
        with bench_texts(given.train, given.val, bench.SIZES[size].vocab_size, progress) as texts:
            found = bench.measure(texts, bench.SIZES[size], progress, given.official)
    else:
        with bench_data(train, val, bench.SIZES[size].vocab_size, progress) as data:
            found = bench.measure(data, bench.SIZES[size], progress)
    if kind in ("quality", "sweep") and size != "quick":
        name = kind  # whatever the preset, which the result says: a page shows the newest of each text
    return {"result": str(save_dated(name.replace(":", "-"), found)), **bench.summary(found)}


def _check(name: str, kind: str, given: Given) -> None:
    """Refuse what the bench `name` does not take."""
    if given.artifact is not None and kind != "adaptive":
        raise ConfigError(f"--artifact {given.artifact}: bench {name} makes its own; leave it out.")
    if given.settings and kind != "sweep":
        raise ConfigError(f"--set {given.settings[0]}: is for bench sweep alone; leave it out.")
    if given.val and kind == "sweep":
        raise ConfigError(
            f"--val {given.val[0]}: bench sweep scores a part of the training text; leave it out."
        )
    if kind == "quality":
        return
    if given.official is not None:
        raise ConfigError(f"--official {given.official}: is for bench quality alone; leave it out.")
    for option, paths in (("train", given.train), ("val", given.val)):
        if len(paths) > 1:
            raise ConfigError(
                f"--{option} {paths[1]}: bench {name} takes one text; only quality takes several."
            )

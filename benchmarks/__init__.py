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
regrow bench quality          a preset (quality:PRESET; else demo) beside compressors, KenLM and a small GPT
regrow bench tokenize         1 GB of text to a data folder, beside SentencePiece's bare encoder; tokenize:200 on 200 MB

NAME:quick is the same in seconds, where there is one, to see that it works; its figures mean nothing.
`python -m benchmarks.pages` puts the newest results into the pages of docs/.
"""

from __future__ import annotations

import difflib
import importlib
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
)  # fmt: skip


def run(
    name: str, train: Path | None, val: Path | None, progress: Progress, *, artifact: Path | None = None
) -> dict[str, Any]:
    """Run the bench `name`, write its dated result, and return its summary with the path of that result.

    `train` and `val` are text to use instead of the bench's own; `artifact`, for `adaptive`, is scored on `val` as it
    is. Raises ConfigError for a name there is none of and for a `val` without a `train`, DataError for text that
    cannot be used.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}" if near else f"there is {', '.join(NAMES)}"
        raise ConfigError(f"bench {name}: there is none of that name; {hint}.")
    if artifact is not None and name != "adaptive":
        raise ConfigError(f"--artifact {artifact}: bench {name} makes its own; leave it out.")
    kind, _, size = name.partition(":")
    bench = importlib.import_module(f"benchmarks.{kind}")
    from benchmarks.dated import save_dated
    from benchmarks.texts import bench_data

    if artifact is not None:
        found = bench.measure_artifact(artifact, train, val, progress)
    elif kind in ("records", "score"):
        found = bench.measure(train, val, bench.SIZES[size], progress)
    elif kind == "tokenize":
        found = bench.measure(bench.own_text(train), bench.SIZES[size], progress)
    else:
        chosen = bench.SIZES[size]
        with bench_data(train, val, chosen.vocab_size, progress) as data:
            found = bench.measure(data, chosen, progress)
    if kind == "quality" and size != "quick":
        name = kind  # whatever the preset: the page shows the newest of each text
    return {"result": str(save_dated(name.replace(":", "-"), found)), **bench.summary(found)}

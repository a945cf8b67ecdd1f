"""Benches: what is measured side by side, in one run, on one machine, and kept as a dated result.

regrow bench bases            Hadamard, QR and Gaussian bases; which matrices to seed
regrow bench adaptive         the predictor that learns from the text it has scored, part by part
regrow bench bases:quick      the same in seconds, to see that it works; its figures mean nothing
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from regrow.errors import ConfigError
from regrow.progress import Progress

NAMES = ("bases", "bases:quick", "adaptive")
LATER = ("ngram", "published")


def run(
    name: str, train: Path | None, val: Path | None, progress: Progress, *, artifact: Path | None = None
) -> dict[str, Any]:
    """Run the bench `name`, write its dated result, and return its summary with the path of that result.

    `train` and `val` are text to use instead of the bench's own; `artifact`, for `adaptive`, is scored on `val` as it
    is. Raises ConfigError for a name there is none
    of and for a `val` without a `train`, DataError for text that cannot be used.
    """
    if name in LATER:
        raise ConfigError(
            f"bench {name}: comes with a later release of regrow; there is {', '.join(NAMES)} for now."
        )
    if name not in NAMES:
        near = difflib.get_close_matches(name, [*NAMES, *LATER], n=1)
        hint = f"did you mean {near[0]}" if near else f"there is {', '.join(NAMES)}"
        raise ConfigError(f"bench {name}: there is none of that name; {hint}.")
    if artifact is not None and name != "adaptive":
        raise ConfigError(f"--artifact {artifact}: bench {name} trains its own; leave it out.")
    if name == "adaptive":
        from regrow.bench import adaptive

        return adaptive.run(train, val, artifact, progress)
    from regrow.bench import bases
    from regrow.bench.bases_size import FULL, QUICK
    from regrow.bench.dated import save_dated
    from regrow.bench.texts import bench_data

    size = QUICK if name == "bases:quick" else FULL
    with bench_data(train, val, size.vocab_size, progress) as data:
        measured = bases.measure(data, size, progress)
    path = save_dated(name.replace(":", "-"), measured)
    return {"result": str(path), **bases.summary(measured)}

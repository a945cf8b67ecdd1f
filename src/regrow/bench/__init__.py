"""Benches: what is measured side by side, in one run, on one machine, and kept as a dated result.

regrow bench bases            Hadamard, QR and Gaussian bases; which matrices to seed
regrow bench bases:quick      the same in seconds, to see that it works; its figures mean nothing
regrow bench published        the published hashed cache: its score, what that sums to, and the honest form
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from regrow.errors import ConfigError
from regrow.progress import Progress

NAMES = ("bases", "bases:quick", "published", "published:quick")
LATER = ("ngram", "prefill")


def run(name: str, train: Path | None, val: Path | None, progress: Progress) -> dict[str, Any]:
    """Run the bench `name`, write its dated result, and return its summary with the path of that result.

    `train` and `val` are text to use instead of the bench's own. Raises ConfigError for a name there is none
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
    from regrow.bench import bases
    from regrow.bench.bases_size import FULL, QUICK
    from regrow.bench.dated import save_dated
    from regrow.bench.texts import bench_data

    if name.startswith("published"):
        from regrow.bench import published

        settings = published.QUICK if name.endswith(":quick") else published.FULL
        with bench_data(train, val, settings.vocab_size, progress) as data:
            found = published.measure(data, settings, progress)
        path = save_dated(name.replace(":", "-"), found)
        return {"result": str(path), **published.summary(found)}
    size = QUICK if name == "bases:quick" else FULL
    with bench_data(train, val, size.vocab_size, progress) as data:
        measured = bases.measure(data, size, progress)
    path = save_dated(name.replace(":", "-"), measured)
    return {"result": str(path), **bases.summary(measured)}

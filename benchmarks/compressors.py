"""Compressors beside a model: each on held-out text alone, and after the training text where its program can."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.seeds import Row
from regrow.core.progress import Progress
from regrow.report.baselines import compressed_sizes, zstd_with

_PPMD_ORDER, _PPMD_BYTES = 16, 3 << 30  # it forgets everything when its memory is full
_BLOCK = (
    16_384  # bytes of a sample that zstd's dictionary is trained on: better than smaller and than whole files
)


def compressed(texts: Sequence[bytes], before: bytes, budget: int, progress: Progress) -> Iterator[list[Row]]:
    """For each text the rows of all compressors, as far as they are installed: `name`, `bpb`, `decoder_bytes`.

    `before`: the training text, or its end. `budget`: bytes of zstd's dictionary.
    """
    if importlib.util.find_spec("pyppmd") is None:
        progress.log("PPMd is left out: pip install pyppmd for its figures")
    dictionary, stored = None, None
    for text in texts:
        with progress.task("gzip, bzip2, xz, zstd"):
            found = compressed_sizes(text, before, stored)
        stored = found["xz -9e after the training text"][1]
        with progress.task("zstd with a trained dictionary"):
            dictionary = dictionary or trained_dictionary(before, budget)
            size = len(zstd_with(dictionary, text))
            found["zstd -22 with a trained dictionary"] = (size, len(dictionary.as_bytes()))
        if importlib.util.find_spec("pyppmd") is not None:
            with progress.task("PPMd, alone and after the training text"):
                found[f"PPMd order {_PPMD_ORDER}"] = (sum(ppmd(text)), 0)
                primed, size = ppmd(before, text)
                found[f"PPMd order {_PPMD_ORDER} after the training text"] = (size, primed)
        yield [
            {"name": name, "ours": False, "bpb": 8 * size / len(text), "decoder_bytes": needed}
            for name, (size, needed) in found.items()
        ]


def trained_dictionary(before: bytes, budget: int) -> Any:
    """zstd's dictionary of at most `budget` bytes, trained on pieces of the text."""
    import zstandard

    block = min(_BLOCK, max(64, len(before) // 64))
    samples: list[Any] = [before[at : at + block] for at in range(0, len(before), block)]
    return zstandard.train_dictionary(min(budget, len(before) // 2), samples, k=1024, d=8, level=22)


def ppmd(*texts: bytes) -> list[int]:
    """Bytes of each of the texts, one coded after the other by variant I."""
    encoder = importlib.import_module("pyppmd").Ppmd8Encoder(_PPMD_ORDER, _PPMD_BYTES)
    sizes = [len(encoder.encode(text)) for text in texts]
    sizes[-1] += len(encoder.flush())
    return sizes

"""Write docs/memory.md and docs/memory.svg from the newest results of `regrow bench ngram`, `forms` and `prefill`.

python docs/make_memory.py
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.dated import newest
from benchmarks.memory_page import PICTURE, page, picture
from regrow.core.files import atomic_write_bytes, atomic_write_text

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "results"


def make(out: Path = DOCS) -> None:
    """Write the page and its picture into `out`."""
    paths = [newest(name, RESULTS) for name in ("ngram", "forms", "prefill")]
    ngram, forms, prefill = (json.loads(path.read_bytes()) for path in paths)
    atomic_write_text(
        out / "memory.md", page(ngram, forms, prefill, [f"bench/results/{p.name}" for p in paths])
    )
    atomic_write_bytes(out / PICTURE, picture(ngram, forms))


if __name__ == "__main__":
    make()

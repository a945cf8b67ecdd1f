"""Write docs/bases.md and docs/bases.svg from the newest result of `regrow bench bases`, or from a named one.

python docs/make_bases.py [bench/results/2026-11-23-bases.json]
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.bases_page import PICTURE, page
from benchmarks.bases_picture import picture
from benchmarks.bases_result import BasesResult
from benchmarks.dated import newest
from regrow.core.files import atomic_write_bytes, atomic_write_text

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "results"


def make(path: Path, out: Path = DOCS) -> None:
    """Write the page and its picture into `out`."""
    result = BasesResult.load(path)
    atomic_write_text(out / "bases.md", page(result, f"bench/results/{path.name}"))
    atomic_write_bytes(out / PICTURE, picture(result))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else newest("bases", RESULTS))

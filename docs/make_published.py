"""Write docs/published.md and its picture from the newest result of `regrow bench published`, or from a named one.

python docs/make_published.py [bench/results/2026-11-24-published.json]
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.dated import newest
from benchmarks.published_page import PICTURE, page
from benchmarks.published_picture import picture
from benchmarks.published_result import PublishedResult
from regrow.core.files import atomic_write_bytes, atomic_write_text

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "results"


def make(path: Path, out: Path = DOCS) -> None:
    """Write the page and its picture into `out`."""
    result = PublishedResult.load(path)
    atomic_write_text(out / "published.md", page(result, f"bench/results/{path.name}"))
    atomic_write_bytes(out / PICTURE, picture(result))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else newest("published", RESULTS))

"""Write docs/adaptive.md and docs/adaptive.svg from results of `regrow bench adaptive`, one a text.

python docs/make_adaptive.py [bench/results/2026-11-24-adaptive.json ...]

Without a name: the newest result of every text.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.adaptive import AdaptiveResult
from benchmarks.adaptive_page import PICTURE, page, picture
from regrow.core.files import atomic_write_bytes, atomic_write_text

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "bench" / "results"


def make(paths: list[Path], out: Path = DOCS) -> None:
    """Write the page and its picture into `out`."""
    results = [(AdaptiveResult.load(path), f"bench/results/{path.name}") for path in paths]
    atomic_write_text(out / "adaptive.md", page(results))
    atomic_write_bytes(out / PICTURE, picture([result for result, _ in results]))


def newest_by_text(folder: Path) -> list[Path]:
    """The newest result of each text, in the order of the texts' names."""
    found: dict[str, Path] = {}
    for path in sorted(
        folder.glob("????-??-??-adaptive*.json"), key=lambda p: (p.name[:10], len(p.name), p.name)
    ):
        found[AdaptiveResult.load(path).text] = path
    return [found[text] for text in sorted(found)]


if __name__ == "__main__":
    make([Path(name) for name in sys.argv[1:]] or newest_by_text(RESULTS))

"""The tables of docs/ from the newest dated results, and the pictures beside them: `python -m benchmarks.pages`.

A page is Markdown by hand. Between `<!-- table: NAME ARGUMENT -->` and `<!-- end -->` stands what the function NAME of
`TABLES` makes of the results; a test holds pages and results together.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import bases_tables, scaling_tables, tables
from regrow.core.errors import DataError
from regrow.core.files import atomic_write_bytes, atomic_write_text

ROOT = Path(__file__).parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "bench" / "results"
_MARK = re.compile(r"(<!-- table: (\w+) ?([^\n]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


TABLES: dict[str, Callable[[Path, str], list[str]]] = {
    made.__name__: made
    for made in (
        tables.setting, tables.kenlm, tables.forms, tables.prefill, tables.adaptive, bases_tables.depth,
        bases_tables.gains, bases_tables.stream, bases_tables.equal_bytes, tables.published, tables.cache_bytes,
        scaling_tables.merge, scaling_tables.counting, scaling_tables.paper, tables.records, tables.quality,
    )
}  # fmt: skip


def filled(page: str, results: Path = RESULTS) -> str:
    """`page` with every table made anew from the results in a folder. Raises DataError for a table of no such name."""

    def made(mark: re.Match[str]) -> str:
        if mark[2] not in TABLES:
            raise DataError(
                f"<!-- table: {mark[2]} -->: there is none of that name; there is {', '.join(TABLES)}."
            )
        return mark[1] + "\n".join(TABLES[mark[2]](results, mark[3])) + "\n" + mark[4]

    return _MARK.sub(made, page)


def main() -> None:
    """Fill every page of docs/ and draw its picture, if it has one."""
    from benchmarks.pictures import PICTURES

    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (made := filled(page)) != page:
            atomic_write_text(path, made)
            sys.stderr.write(f"{path}\n")
    for name, draw in PICTURES.items():
        atomic_write_bytes(DOCS / f"{name}.svg", draw(RESULTS))


if __name__ == "__main__":
    main()

"""The pages of docs/ and their pictures say what the newest dated results say."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.pages import DOCS, RESULTS, filled
from benchmarks.pictures import PICTURES
from benchmarks.tables import table
from regrow.core.errors import DataError

# What others published or a formula holds, not what was measured here.
NOT_OURS = {"0.0905", "1.503", "0.95"}


def marked(name: str) -> str:
    return f"Text before.\n\n<!-- table: {name} -->\nold\n<!-- end -->\n\nand after.\n"


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_tables_are_those_of_the_newest_results(path: Path) -> None:
    """If this fails: `python -m benchmarks.pages`."""
    page = path.read_text(encoding="utf-8")
    assert filled(page) == page


@pytest.mark.parametrize("name", PICTURES)
def test_figures_in_prose_stand_in_a_table_of_the_page(name: str) -> None:
    """Hand-written sentences quote the tables, so a new result shows which of them to write again."""
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"<!-- table: .*?<!-- end -->", page, re.DOTALL))
    prose = re.sub(r"<!-- table: .*?<!-- end -->", "", page, flags=re.DOTALL)
    figures = set(re.findall(r"(?<![\d.])\d+\.\d{2,}|\d{1,3}(?:,\d{3})+", prose)) - NOT_OURS
    assert sorted(figure for figure in figures if figure not in blocks) == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_an_svg_and_the_same_each_time(name: str) -> None:
    drawn = PICTURES[name](RESULTS)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert PICTURES[name](RESULTS) == drawn
    assert f"({name}.svg)" in (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_follows_the_readers_dark_scheme_with_every_colour_it_has(name: str) -> None:
    for drawn in (PICTURES[name](RESULTS).decode(), (DOCS / f"{name}.svg").read_text(encoding="utf-8")):
        light, dark = drawn.split("@media (prefers-color-scheme: dark)")[0], drawn.split("dark)")[1]
        style, elements = dark.split("</style>")
        used = {colour for place in re.findall(r'style="[^"]*"', light + elements)
                for colour in re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", place)}  # fmt: skip
        assert used and {colour for colour in used if f'[style*="{colour}"]' not in style} == set()


def test_only_what_is_marked_changes_and_an_unknown_table_is_named() -> None:
    page = filled(marked("cache_bytes"))
    assert page.startswith("Text before.\n\n<!-- table: cache_bytes -->\n| tables filled with |")
    assert page.endswith("|\n<!-- end -->\n\nand after.\n") and "old" not in page
    with pytest.raises(DataError, match=r"cache_size.*there is setting"):
        filled(marked("cache_size"))
    with pytest.raises(DataError, match="no result of bench adaptive on some text"):
        filled(marked("adaptive some text"))


def test_a_table_has_as_many_columns_in_each_row() -> None:
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "| --- | ---: |", "| 1 | 2 |"]


def test_runs_that_diverged_and_quick_runs_are_marked(tmp_path: Path) -> None:
    """A network that diverged has no score; it must not vanish from a mean without a word."""
    found = json.loads(next(RESULTS.glob("*-bases.json")).read_bytes())
    run = next(r for r in found["runs"] if r["arm"] == "Gaussian" and r["n_layer"] == 11)
    (tmp_path / "2026-01-01-bases.json").write_text(
        json.dumps(
            {**found, "size": "quick", "runs": [{**r, "bpb": None} if r is run else r for r in found["runs"]]}
        )
    )
    assert "1 diverged |" in filled(marked("depth"), tmp_path)
    assert "figures mean nothing" in filled(marked("setting bases"), tmp_path)
    assert "figures mean nothing" not in filled(marked("setting bases"))


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01-bases.json").write_text("{}")
    with pytest.raises(DataError, match=r"2026-01-01-bases\.json: is no result"):
        filled(marked("depth"), tmp_path)

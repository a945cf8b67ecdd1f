"""CONTRIBUTING's table of where things are: every file is there and defines the name beside it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import regrow

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
ROWS = re.findall(r"^\| (.+?) \| `(\S+\.py)` \| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_is_read() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("file", "name"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_thing_is_where_the_table_says(file: str, name: str) -> None:
    tree = ast.parse((Path(regrow.__file__).parent / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assigned = (t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets)
    assert name in defined | {t.id for t in assigned if isinstance(t, ast.Name)}

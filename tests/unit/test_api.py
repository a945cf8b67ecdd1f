"""The Python names of the contract, loaded when used and not before."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import regrow

CONTRACT = ["train", "Artifact", "Predictor", "evaluate", "EvalResult", "compress", "decompress", "prove"]
CONTRACT += [
    "load_preset",
    "load_config",
    "audit",
    "write_report",
    "seeded_orthogonal",
    "SeededLinear",
    "NgramCounts",
    "NgramModel",
]


def test_the_names_of_the_contract_are_listed() -> None:
    assert set(CONTRACT) <= set(dir(regrow)) and set(CONTRACT) <= set(regrow.__all__)


def test_type_checkers_see_the_same_names() -> None:
    """They do not run `__getattr__`, nor does the page of the Python interface."""
    tree = ast.parse(Path(regrow.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {name: f"regrow.{home}" for name, home in regrow._HOME.items()}
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    assert set(re.findall(r"^::: regrow\.(\w+)$", page, re.MULTILINE)) == set(imported)


def test_importing_regrow_imports_nothing_heavy() -> None:
    code = "import sys, regrow; assert not {'torch', 'numpy', 'msgspec', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_is_the_function_and_not_a_module_of_that_name() -> None:
    assert callable(regrow.seeded_orthogonal)
    assert regrow.SeededLinear.__name__ == "SeededLinear"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = regrow.nonsense  # type: ignore[attr-defined]

"""The Python names of the contract, loaded when used and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import regrow

CONTRACT = ["train", "Artifact", "Predictor", "evaluate", "EvalResult", "compress", "decompress", "prove"]
CONTRACT += ["audit", "write_report", "seeded_orthogonal", "SeededLinear", "NgramCounts", "NgramModel"]


def test_the_names_of_the_contract_are_listed() -> None:
    assert set(CONTRACT) <= set(dir(regrow)) and set(CONTRACT) <= set(regrow.__all__)


def test_importing_regrow_imports_nothing_heavy() -> None:
    code = "import sys, regrow; assert not {'torch', 'numpy', 'msgspec', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_is_the_function_and_not_a_module_of_that_name() -> None:
    assert callable(regrow.seeded_orthogonal)
    assert regrow.SeededLinear.__name__ == "SeededLinear"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = regrow.nonsense

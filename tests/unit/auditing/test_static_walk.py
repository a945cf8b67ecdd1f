"""The walk says where it stopped following, and says the same whatever salt Python hashes strings with."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest

from regrow.challenge import audit
from regrow.challenge.audit.flow import state
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.source.sources import Sources, add_unit
from regrow.challenge.audit.static import program_findings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "audit"
SOURCES = sorted(Path(audit.__file__).parent.rglob("*.py"))
LEARNS = (FIXTURES / "train-on-validation" / "example_bad.py").read_text(encoding="utf-8")
TWICE = """
import torch.nn.functional as F

def score(model, x, y):
    a = F.cross_entropy(model(x), y)
    b = F.cross_entropy(model(x), y)
    return a + b

model, val_tokens = object(), object()
x, y = val_tokens[:-1], val_tokens[1:]
score(model, x, y)
score(model, x, y)
"""
DEEP = "def f0(x):\n    return x\n" + "".join(f"def f{n}(x):\n    return f{n - 1}(x)\n" for n in range(1, 40))


def not_followed(text: str) -> list[tuple[str, str]]:
    sources = Sources(Path())
    add_unit(sources, "train_gpt.py", "train_gpt", text, "entry")
    found = program_findings(Program(sources))
    return [(f.severity, f.message) for f in found if f.rule == "not-followed"]


@pytest.mark.parametrize(
    ("budget", "limit", "text"),
    [
        ("MAX_EVENTS", 2, LEARNS),
        ("MAX_REPLAYED", 1, TWICE),
        ("MAX_STEPS", 30, LEARNS),
        ("MAX_CALLS", 24, DEEP + "f39(1)\n"),
    ],
)
def test_a_budget_that_bites_is_a_finding_of_medium_severity(
    budget: str, limit: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if budget != "MAX_CALLS":
        assert not_followed(text) == []
        monkeypatch.setattr(state, budget, limit)
    assert [severity for severity, _ in not_followed(text)] == ["medium"]


def test_calls_within_the_budget_are_followed_to_the_end() -> None:
    assert not_followed(DEEP + "f20(1)\n") == []


def test_two_salts_of_the_string_hash_give_the_same_json(tmp_path: Path) -> None:
    for bad in FIXTURES.glob("*/*_bad.py"):
        folder = tmp_path / f"{bad.parent.name}-{bad.stem}"
        folder.mkdir()
        (folder / "train_gpt.py").write_bytes(bad.read_bytes())

    def run(salt: str) -> list[dict[str, Any]]:
        out = subprocess.run(
            [sys.executable, "-m", "regrow", "audit", "--many", str(tmp_path), "--json"],
            env=os.environ | {"PYTHONHASHSEED": salt},
            capture_output=True,
            check=False,
        )
        assert out.returncode == 1, out.stderr  # all of them are flagged
        return [{**one, "seconds": 0} for one in json.loads(out.stdout)["submissions"]]

    first = run("1")
    assert len(first) > 50
    assert first == run("2")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_no_docstring_is_torn_and_no_pattern_is_cut_inside_a_character_class(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            lines = (ast.get_docstring(node) or "").split("\n")
            assert len(lines) < 2 or not lines[1], lines[:2]  # the first sentence stands on one line
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.STRING and token.string.startswith('r"'):
                plain = token.string.replace("\\[", "").replace("\\]", "")
                assert plain.count("[") <= plain.count("]"), token.string

"""Progress in Jupyter, in a real kernel: a bar that is redrawn in its place, and lines where nothing can be redrawn."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

WORK = """
import time
import regrow
progress = regrow.make_progress()
with progress.task("train", total=40, unit="s") as task:
    for i in range(40):
        task.advance(1, bpb=2.0 - i / 100)
        time.sleep(0.05)
    progress.log("a notice")
with progress.task("score", total=3, unit="tokens") as task:
    task.advance(3)
"""


def outputs_of(source: str) -> tuple[list[Any], str]:
    """What a cell leaves in its notebook, and all of that, widgets too, as one text."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook.cells[0].outputs, json.dumps(notebook, ensure_ascii=False)


def test_a_bar_is_redrawn_in_its_widget() -> None:
    pytest.importorskip("ipywidgets")
    outputs, whole = outputs_of(WORK)
    assert len(outputs) < 10, "a widget for each task, and what stays"
    assert "a notice" in whole
    assert whole.count("bpb 1.61") <= 2 and "bpb 1.9" not in whole, (
        "the last drawing is there, and no earlier one"
    )


def test_without_widgets_there_are_lines() -> None:
    hidden = "import sys\nsys.modules['ipywidgets'] = None\n"
    outputs, _ = outputs_of(hidden + WORK)
    lines = "".join(one["text"] for one in outputs).splitlines()
    assert [line.split(":")[0] for line in lines] == ["a notice", "train", "score"]


def test_a_command_of_a_cell_writes_lines_too() -> None:
    """`!regrow fit` has a terminal of its own, of which the notebook would keep every drawing."""
    code = WORK.strip().replace("\n", "\\n").replace('"', '\\"')
    outputs, _ = outputs_of(f"!{sys.executable} -c \"$(printf '{code}')\"")
    lines = "".join(one["text"] for one in outputs).splitlines()
    assert [line.split(":")[0] for line in lines] == ["a notice", "train", "score"]
    assert all("\x1b" not in line for line in lines)

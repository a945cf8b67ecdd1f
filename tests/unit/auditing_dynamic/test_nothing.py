"""What is no submission is neither clean nor suspect: a verdict of its own, and exit code 2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.auditing_dynamic.audited_submission import submission

from regrow.challenge.audit import audit
from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.verdict import Audit, exit_code, judge
from regrow.cli import main

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
NOTEBOOK = json.dumps(
    {"cells": [{"cell_type": "code", "source": ["loss = cross_entropy(x, y)\n"]}], "nbformat": 4}
)
SETUP = "from setuptools import setup\nsetup(name='x')\n"


def made(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


NOTHING: dict[str, dict[str, str | bytes]] = {
    "empty": {},
    "notebook": {"train_DOT_ipynb": NOTEBOOK},
    "picture": {"plot_DOT_png": PNG},
    "readme": {"README_DOT_md": "# A library\n\nIt is fast.\n"},
    "library": {"README_DOT_md": "# x\n", "setup_DOT_py": SETUP, "src__x_DOT_py": "def f():\n    return 1\n"},
    "deep library": {
        "README_DOT_md": "1.184 bpb\n",
        "src__x__loss_DOT_py": "from torch.nn.functional import cross_entropy\n",
    },
    "requirements": {"requirements_DOT_txt": "torch==2.4\n"},
    "library that executes": {"compiler_DOT_py": "exec(compile(template, '<t>', 'exec'), space)\n"},
    "library of another Python": {"old_DOT_py": "print 'x'\n"},
    "broken claims": {"submission_DOT_json": "", "logs__x_DOT_log": "\0\1\2"},
    "empty script": {"train_gpt_DOT_py": ""},
    "other json": {"package_DOT_json": '{"name": "x"}'},
}


@pytest.mark.parametrize("files", NOTHING.values(), ids=NOTHING)
def test_a_folder_that_is_no_submission(
    tmp_path: Path, files: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "a", **files)
    assert audit(folder).verdict == "nothing-to-audit"
    assert main(["audit", str(folder)]) == 2
    out = capsys.readouterr().out
    assert out.startswith("NOTHING-TO-AUDIT") and "submission.json" in out and "CLEAN" not in out
    assert main(["audit", str(folder), "--json", "--fail-on", "low"]) == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "nothing-to-audit"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plot.png", PNG),
        ("train.ipynb", NOTEBOOK),
        ("setup.py", SETUP),
        ("empty.py", ""),
        ("train.log", "hello\n"),
        ("submission.json", "{}"),
    ],
)
def test_a_file_that_is_no_scorer(tmp_path: Path, name: str, data: str | bytes) -> None:
    made(tmp_path / "a", **{name.replace(".", "_DOT_"): data})
    assert audit(tmp_path / "a" / name).verdict == "nothing-to-audit"
    assert main(["audit", str(tmp_path / "a" / name), "--quiet"]) == 2


@pytest.mark.parametrize(
    "files",
    [
        {"submission_DOT_json": '{"author": "me"}'},
        {"submission_DOT_json": '{"val_bpb": 1.2'},
        {"train_DOT_log": "step:1 val_bpb:1.2345\n"},
        {"README_DOT_md": "We reach val_bpb: 1.2345.\n"},
        {"my_model_DOT_py": "loss = F.cross_entropy(logits, targets)\n"},
        {"src__train_gpt_DOT_py": "nll = -log_probs\n"},
        {"train_gpt_DOT_py": "import zlib\nexec(zlib.decompress(open('blob').read()))\n"},
    ],
)
def test_a_claim_a_figure_or_a_scorer_is_enough_to_judge(tmp_path: Path, files: dict[str, Any]) -> None:
    assert audit(made(tmp_path / "a", **files)).verdict in ("clean", "suspect")


@pytest.mark.parametrize("text", [PNG, "def f(:\n", "exec(input())\n"])
def test_a_script_that_cannot_be_read_is_suspect_and_not_nothing(tmp_path: Path, text: str | bytes) -> None:
    folder = made(tmp_path / "a", train_gpt_DOT_py=text)
    assert audit(folder).verdict == audit(folder / "train_gpt.py").verdict == "suspect"


def test_a_folder_of_submissions_is_pointed_to_many(tmp_path: Path) -> None:
    for name in ("one", "two"):
        submission(tmp_path / "a" / name, {})
        (tmp_path / "a" / name / "README.md").unlink()
    (found,) = [f for f in audit(tmp_path / "a").findings if f.rule == "nothing-to-audit"]
    assert "--many" in found.message and "2 submissions" in found.message


def test_the_exit_code_of_several(tmp_path: Path) -> None:
    note = Finding("nothing-to-audit", "low", "high", "a", None, "m", "")
    nothing = Audit("a", judge([note], []), [note])
    clean, bad = Audit("b", "clean", []), Audit("c", "flagged", [], [ProbeResult("x", "failed", "")])
    assert (
        nothing.verdict == "nothing-to-audit" and judge([note], [ProbeResult("x", "passed", "")]) == "clean"
    )
    assert exit_code([clean]) == 0 and exit_code([clean, nothing]) == 2 and exit_code([nothing, bad]) == 1
    assert exit_code([clean, nothing], many=True) == 0 and exit_code([nothing], many=True) == 2
    assert exit_code([nothing], "low") == 2


def test_nothing_among_many_costs_nobody_else_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission(tmp_path / "all" / "good")
    made(tmp_path / "all" / "tools", download_DOT_py="print(1)\n")
    out = tmp_path / "t.html"
    assert main(["audit", str(tmp_path / "all"), "--many", "--quiet", "-o", str(out)]) == 0
    assert "1 clean, 1 nothing-to-audit" in capsys.readouterr().out and "nothing-to-audit" in out.read_text()


def test_low_findings_are_printed_with_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue: they were counted, and stood nowhere but in --json."""
    folder = submission(tmp_path / "a", {})
    assert main(["audit", str(folder)]) == 0
    assert "--all" in (out := capsys.readouterr().out) and "comes with no log" not in out
    assert main(["audit", str(folder), "--all"]) == 0
    assert "comes with no log" in (out := capsys.readouterr().out) and "--all" not in out
    assert main(["audit", str(tmp_path), "--many", "--all", "--quiet"]) == 0
    assert "headline-untraced" in capsys.readouterr().out


def test_a_notebook_is_told_what_to_do(tmp_path: Path) -> None:
    folder = made(tmp_path / "a", train_DOT_ipynb=NOTEBOOK)
    for path in (folder, folder / "train.ipynb"):
        assert any("save it as a script" in f.message for f in audit(path).findings)


def test_what_is_no_plain_file_is_not_opened_and_is_told(tmp_path: Path) -> None:
    folder = submission(tmp_path / "a")
    (folder / "more.log").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.log")
    (told,) = [f for f in audit(folder).findings if f.rule == "read-in-part"]
    assert "more.log" in told.message and "pipe.log" in told.message and audit(folder).verdict == "clean"


def test_a_device_is_nothing_to_audit() -> None:
    assert audit("/dev/null").verdict == "nothing-to-audit"

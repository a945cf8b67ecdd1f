"""Processes that work for another: none runs the caller's script, and one that dies costs its job alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import regrow
from regrow.core.workers import WorkerEnded, WorkFailed, workers

# No main guard, as in a notebook's script: it must run once.
SCRIPT = """
from pathlib import Path
from regrow.challenge.audit.many import audit_many, submissions
print("once")
print([audit.verdict for audit in audit_many(submissions(Path("all")), workers=2)])
"""


def work(setup: int, job: int) -> int:
    print("not a result")
    if job == 13:
        os._exit(1)
    if job == 14:
        raise ValueError("fourteen")
    return setup + job


def test_a_job_that_kills_its_process_costs_no_other() -> None:
    with workers(2, work, 100) as submit:
        found = [submit(job) for job in (1, 13, 2, 14, 3)]
        assert [found[i].result() for i in (0, 2, 4)] == [101, 102, 103]
        with pytest.raises(WorkerEnded, match="ended from outside"):
            found[1].result()
        with pytest.raises(WorkFailed, match="ValueError: fourteen"):
            found[3].result()


@pytest.mark.parametrize("way", ["a file", "standard input"])
def test_a_script_without_a_main_guard_that_audits_many_runs_once(tmp_path: Path, way: str) -> None:
    for name in "ab":
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "train_gpt.py").write_text("import torch\n")
        (tmp_path / "all" / name / "README.md").write_text("nothing\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    name, given = ("script.py", None) if way == "a file" else ("-", SCRIPT)
    place = {**os.environ, "PYTHONPATH": str(Path(regrow.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, input=given, env=place, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count("once\n") == 1, done
    assert done.stdout.count("nothing-to-audit") + done.stdout.count("clean") == 2, done

"""What a user's mypy knows of the public names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

KNOWN = {
    "regrow.Artifact.load('a')": "regrow.artifact.artifact.Artifact",
    "regrow.train(regrow.load_preset('demo'), 'data', 'run').result.bpb.blended": "float | None",
    "regrow.Artifact.load('a').predictor(1).predict()": "torch._tensor.Tensor",
    "regrow.evaluate('a', b'text').raw_bytes": "int",
    "regrow.prove('a', 'text').portable": "bool",
    "regrow.compress('a', b'text')": "bytes",
    "regrow.audit('folder')": "regrow.challenge.audit.verdict.Audit",
    "regrow.make_data(['text'], 'data')": "regrow.data.dataset.Dataset",
    "regrow.write_report('run')": "pathlib.Path",
}


@pytest.mark.long
def test_public_names_have_their_types_and_others_are_errors(tmp_path: Path) -> None:
    lines = ["import regrow", *(f"reveal_type({expression})" for expression in KNOWN), "regrow.comprss"]
    (tmp_path / "user.py").write_text("\n".join(lines) + "\n")
    # The repository's settings and cache: what mypy has looked at here already, it does not read again.
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        ROOT / "pyproject.toml",
        "--follow-imports",
        "silent",
    ]
    command += ["--cache-dir", os.environ.get("MYPY_CACHE_DIR", ROOT / ".mypy_cache"), tmp_path / "user.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = dict(re.findall(r'user\.py:(\d+): note: Revealed type is "(.*)"', done.stdout))
    assert list(told.values()) == list(KNOWN.values()), done.stdout + done.stderr
    (error,) = re.findall(r"user\.py:(\d+): error: (.*)", done.stdout)
    assert error[0] == str(len(lines)) and "no attribute" in error[1]

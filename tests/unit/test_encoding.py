"""Encoding on several processes: whoever calls, and whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import regrow
import regrow.data.encoding as encoding
from regrow.core.errors import EnvironmentProblem
from regrow.data.documents import Document
from regrow.data.encoding import encode_documents
from regrow.data.tokenizer import Tokenizer

# No main guard, as in a notebook's script: it must run once.
SCRIPT = """
import regrow.data.encoding
from regrow.core.config.schema import DataConfig
from regrow.data.build import build_dataset
print("once")
regrow.data.encoding._POOL_FROM_BYTES = 1
regrow.data.encoding.cores = lambda: 2
build_dataset("text", "data", DataConfig(vocab_size=270))
"""


@pytest.mark.parametrize("way", ["a file", "standard input"])
def test_a_script_without_a_main_guard_runs_once(tmp_path: Path, way: str) -> None:
    (tmp_path / "text").write_text("the cat sat on the mat; the dog lay on the log\n" * 5000)
    (tmp_path / "script.py").write_text(SCRIPT)
    name, given = ("script.py", None) if way == "a file" else ("-", SCRIPT)
    place = {**os.environ, "PYTHONPATH": str(Path(regrow.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, input=given, env=place, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")
    assert (tmp_path / "data" / "data.json").exists()


def workers_of(process: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process and b"workers import serve" in command:
            found.append(int(place.name))
    return found


def gone(process: int) -> bool:
    """Whether a process has ended; a dead one whose parent does not look counts too."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_worker_that_dies_is_one_sentence_and_the_others_end() -> None:
    documents = (Document(b"many words " * 200_000, i) for i in range(99))
    with pytest.raises(EnvironmentProblem, match="ended from outside"):
        for number, _ in enumerate(encode_documents(documents, Tokenizer.train([], 257), 0, processes=2)):
            if number == 0:
                os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
    assert workers_of(os.getpid()) == []


def test_workers_end_with_a_caller_that_is_killed() -> None:
    code = """
from regrow.data.documents import Document
from regrow.data.encoding import encode_documents
from regrow.data.tokenizer import Tokenizer
documents = (Document(b"many words " * 200_000, i) for i in range(10**9))
for _ in encode_documents(documents, Tokenizer.train([], 257), 0, processes=2):
    print(flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as caller:
        assert caller.stdout
        caller.stdout.readline()
        workers = workers_of(caller.pid)
        caller.kill()
    assert len(workers) == 2
    for _ in range(200):
        if all(map(gone, workers)):
            return
        time.sleep(0.1)
    raise AssertionError("workers go on without the process that started them")


def test_a_caller_that_stops_in_the_middle_leaves_nothing_running() -> None:
    documents = (Document(b"many words " * 200_000, i) for i in range(99))
    chunks = encode_documents(documents, Tokenizer.train([], 257), 0, processes=2)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert workers_of(os.getpid()) == []


def test_small_texts_start_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "workers", None)
    assert len(list(encode_documents([Document(b"few", 0)], Tokenizer.train([], 257), 3))) == 1

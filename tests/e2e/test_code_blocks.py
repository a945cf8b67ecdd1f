"""Every block of code in README and docs runs, in the order of its page, in one folder per page.

A block of bash or Python that cannot run here has the line `<!-- not run: REASON -->` above it; blocks of other
languages are output, layouts and files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.forks import ForkServer
from tests.shard_files import hub_folder

from benchmarks.json_logs import json_log

ROOT = Path(__file__).parents[2]
LANGUAGES = {"bash", "python", "text", "yaml", "toml", "json"}

# The blocks of these pages run in tests of their own: the rules' examples are the audit's fixtures, and a shim needs a
# submission to drive.
ELSEWHERE = ("docs/audit/rules/", "docs/audit/shim.md")

_TINY = (
    "train.max_steps=2 train.max_seconds=0 train.compile=off train.batch_tokens=2048 train.seq_len=512 "
    "model.n_layer=1 model.d_model=64 model.n_head=2 model.n_kv_head=2 model.r=8 model.window=128 "
    "data.vocab_size=512 eval.streams=4"
)
TINY = " ".join(f"--set {setting}" for setting in _TINY.split())

# What would take minutes, another machine or the network: (as the page has it, as the test runs it).
SUBSTITUTIONS = (
    ("--set train.max_seconds=600", TINY),
    ('["train.max_seconds=600"]', repr(_TINY.split())),
    ("--minutes 10 -o mine", f"--minutes 1 -o mine {TINY}"),
    ("--preset published", f"--preset published {TINY}"),
    ("--out data/mine ", "--out data/mine --set data.vocab_size=512 "),
    ("--nproc-per-node 8", "--nproc-per-node 2"),
    ("--variant sp1024 --out", "--variant sp1024 --mirror copy/ --out"),
    ("--variant sp1024 --train-shards", "--variant sp1024 --mirror copy/ --train-shards"),
    ("for seed in 1 2 3", "for seed in 1 2"),
    # A few documents are not the challenge's validation text, which the audit at the end says: exit code 1.
    ("runs/s1 runs/s2 runs/s3 --out record --author NAME --github-id ID --baseline 1.2244",
     "runs/s1 runs/s2 --out record --author NAME --github-id ID --baseline 1.2244 || test $? = 1"),
)  # fmt: skip


class Block:
    """A fenced block: its page, line, language, code, and why it is not run (empty: it is)."""

    def __init__(self, page: Path, text: str, found: re.Match[str]) -> None:
        self.where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start('code'))}"
        self.language, self.code = found["language"], found["code"]
        self.not_run = found["reason"] or ""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    fence = r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$"
    yield from (Block(page, text, found) for found in re.finditer(fence, text, re.MULTILINE | re.DOTALL))


def pages() -> list[Path]:
    named = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in named if not str(page.relative_to(ROOT)).startswith(ELSEWHERE)]


def to_run(page: Path) -> list[Block]:
    return [b for b in blocks(page) if b.language in ("bash", "python") and not b.not_run]


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=shown)
def test_every_block_says_its_language(page: Path) -> None:
    assert [b.where for b in blocks(page) if b.language not in LANGUAGES] == []


# `regrow` and `torchrun --nproc-per-node N -m regrow` in a block: asks the test to run it, which has a fork server that
# has imported everything. Starting torch anew for every line would take most of the time.
_COMMAND = """#!{python} -S
import json, os, socket, stat, sys
words = sys.argv[1:]
if stat.S_IFMT(os.fstat(0).st_mode) in (stat.S_IFIFO, stat.S_IFREG):  # bytes go through it
    os.execv({python!r}, [{python!r}, "-m", "regrow", *words])
processes = int(words[1]) if words[:1] == ["--nproc-per-node"] else 1
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({address!r})
    asking.sendall(json.dumps([words[4:] if processes > 1 else words, processes, os.getcwd()]).encode() + b"\\n")
    code, said = json.loads(asking.makefile().read())
print(said, end="")
sys.exit(code)
"""


@contextlib.contextmanager
def commands(server: ForkServer, folder: Path) -> Iterator[Path]:
    """A folder with the commands `regrow` and `torchrun`, answered while the context lasts."""

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            arguments, processes, place = json.loads(self.rfile.readline())
            ended = server.run(*arguments, processes=processes, folder=Path(place))
            self.wfile.write(json.dumps([max(map(abs, ended.codes)), "".join(ended.said)]).encode())

    for name in ("regrow", "torchrun"):
        (folder / name).write_text(_COMMAND.format(python=sys.executable, address=str(folder / "socket")))
        (folder / name).chmod(0o755)
    with socketserver.UnixStreamServer(str(folder / "socket"), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield folder
        finally:
            listening.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages() if to_run(page)], ids=shown)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path, server: ForkServer) -> None:
    # The extras of other tools: CI has a job of its own for them.
    if page.name in ("integrations.md", "tutorial.md"):
        pytest.importorskip("lm_eval")
        pytest.importorskip("transformers")
    prepare(tmp_path)
    if page.name == "scaling.md":  # which begins where a data folder has been made
        made = server.run(
            "data", "my-texts", "--out", "data/fineweb", "--set", "data.vocab_size=512", folder=tmp_path
        )
        assert made.fine, made.said
    with tempfile.TemporaryDirectory() as short, commands(server, Path(short)) as bin:
        run_blocks(page, tmp_path, bin)


def run_blocks(page: Path, folder: Path, bin: Path) -> None:
    path = os.pathsep.join([str(bin), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    for block in to_run(page):
        code = block.code
        for written, run in SUBSTITUTIONS:
            code = code.replace(written, run)
        command = ["bash", "-euxo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, code],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{block.where}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def prepare(folder: Path) -> None:
    """What the pages take for granted: some texts, shards and submissions."""
    english = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))
    (folder / "my-texts").mkdir()
    for i in range(10):
        part = len(english) // 10
        (folder / "my-texts" / f"{i}.txt").write_text(english[i * part : (i + 1) * part], encoding="utf-8")
    (folder / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in json_log(2000)))
    (folder / "text.txt").write_text(english.replace("<", "("), encoding="utf-8")
    (folder / "lines.txt").write_text("a line\nanother one\n")
    (folder / "pages.jsonl").write_text('{"text": "a page"}\n{"text": "another one"}\n')
    (folder / "letter.txt").write_text("My fellow citizens, this is a letter.\n")
    hub = hub_folder(folder / "copy", "sp1024")
    shutil.copytree(hub / "datasets", folder / "data")
    for file in (folder / "data").rglob("*000000.bin"):
        shutil.copy(file, folder)
    shutil.copy(hub / "datasets/tokenizers/fineweb_1024_bpe.model", folder)
    (folder / "FOLDER").mkdir()
    shutil.copy(ROOT / "tests/fixtures/audit/target-in-hash-key/example_good.py", folder / "FOLDER")

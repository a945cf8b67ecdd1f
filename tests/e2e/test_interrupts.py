"""Ctrl-C ends every long command: exit code 130, one line, and nothing half written, here or among temporary files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import make_text, tiny_settings

from regrow.predict.codec import Codec

pytestmark = pytest.mark.slow

AT_WORK = 4.0  # seconds of CPU after which a command has begun
ENDLESS = ["--set", "train.max_steps=1000000", "--set", "train.max_seconds=0"]
LONG = [*tiny_settings(), *ENDLESS]
COMMANDS: dict[str, list[str]] = {
    "data": ["data", "big.txt", "--out", "OUT", "--set", "data.vocab_size=2000"],
    "train": ["train", "--data", "DATA", "--out", "OUT", *LONG],
    "fit": ["fit", "text.txt", "-o", "OUT", "--minutes", "60", *ENDLESS],
    "demo": ["demo", "--out", "OUT"],
    "eval": ["eval", "RUN", "--data", "big.txt"],
    "eval --ttt": ["eval", "RUN", "--data", "big.txt", "--ttt"],
    "prove": ["prove", "RUN", "--data", "big.txt"],
    "compress": ["compress", "RUN", "big.txt", "-o", "OUT"],
    "compress --ttt": ["compress", "RUN", "big.txt", "-o", "OUT", "--ttt"],
    "decompress": ["decompress", "RUN", "stream.rg", "-o", "OUT"],
    "sample": ["sample", "RUN", "--tokens", "100000000", "--temperature", "0"],
    "sample --stream": ["sample", "RUN", "--tokens", "100000000", "--temperature", "0", "--stream"],
    "records compress": ["records", "compress", "RUN", "big.txt", "-o", "OUT"],
    "records decompress": ["records", "decompress", "RUN", "records.rgr", "-o", "OUT"],
    "score": ["score", "RUN", "big.txt", "--by", "line", "-o", "OUT"],
    "ngram build": ["ngram", "build", "huge.txt", "--words", "--order", "6", "-o", "OUT"],
    "audit --many": ["audit", "--many", "submissions", "-o", "OUT.csv"],
    "bench": ["bench", "ngram", "--train", "big.txt", "--val", "text.txt"],
}


@pytest.fixture(scope="module")
def place(small_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, streams and submissions that each command needs many seconds for."""
    folder = tmp_path_factory.mktemp("interrupted")
    text = make_text(1, 60_000)
    (folder / "text.txt").write_text(text)
    (folder / "big.txt").write_text(text * 60)
    (folder / "huge.txt").write_text(text * 400)
    some = (text * 5)[:1_500_000]
    (folder / "some.txt").write_text(some)
    codec = Codec.load(small_artifact)
    (folder / "stream.rg").write_bytes(codec.encode(some.encode(), always=True).stream)
    command = [
        sys.executable,
        "-m",
        "regrow",
        "records",
        "compress",
        str(small_artifact),
        str(folder / "some.txt"),
    ]
    subprocess.run([*command, "-o", str(folder / "records.rgr")], check=True, timeout=600)
    fixtures = Path(__file__).parents[1] / "fixtures" / "audit"
    script = "\n".join(path.read_text() for path in sorted(fixtures.glob("*/example_good.py")))
    for i in range(400):
        (folder / "submissions" / f"{i:03}").mkdir(parents=True)
        (folder / "submissions" / f"{i:03}" / "train_gpt.py").write_text(f"# {i}\n{script}")
    return folder


def _hear_all() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _cpu_seconds(session: int) -> float:
    """What all processes of a session have used, and those of their children that ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) if int(fields[3]) == session else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_a_command_and_nothing_is_half_written(
    place: Path, small_artifact: Path, data: Path, tmp_path: Path, name: str
) -> None:
    names = {
        "OUT": str(tmp_path / "out"),
        "OUT.csv": str(tmp_path / "out.csv"),
        "RUN": str(small_artifact),
        "DATA": str(data),
    }
    before = {path: path.read_bytes() for path in _files(small_artifact.parent)}, _files(place)
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "regrow", *(names.get(word, word) for word in COMMANDS[name])],
        cwd=place,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        preexec_fn=_hear_all,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "said").open("wb"),
    ) as process:
        while process.poll() is None and _cpu_seconds(process.pid) < AT_WORK:
            time.sleep(0.01)
        assert process.poll() is None, f"ended too soon: {(tmp_path / 'said').read_text()}"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the children too
        process.wait(240)
    said = (tmp_path / "said").read_text()
    assert process.returncode == 130 and "Traceback" not in said, said
    assert said.splitlines()[-1].startswith("regrow: error: ") and "interrupted" in said, said
    assert ({path: path.read_bytes() for path in _files(small_artifact.parent)}, _files(place)) == before
    # torch keeps what it compiled there.
    assert not [
        path for path in (tmp_path / "temporary").iterdir() if not path.name.startswith("torchinductor")
    ]
    left = {path.relative_to(tmp_path).as_posix() for path in _files(tmp_path) if path.name != "said"}
    left = {path for path in left if not path.startswith("temporary/")}
    assert not {path for path in left if path.endswith(".tmp") or "artifact" in path}, left
    if name not in ("data", "train", "demo"):  # which are resumed
        assert not left

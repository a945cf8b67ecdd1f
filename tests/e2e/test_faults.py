"""What stops a run, and what is left of it: numbers that are none, signals, faults while packing."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.e2e.conftest import run_regrow, tiny_settings
from tests.e2e.forks import ForkServer, Moment

from regrow.core.run_folder import locked, run_ids


def _train(data: Path, out: Path, *settings: str) -> list[object]:
    extra = [part for key in settings for part in ("--set", key)]
    return ["train", "--data", data, "--out", out, "--quiet", *tiny_settings(), *extra]


def _hear_all() -> None:
    """Whatever the tests' own terminal ignores."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _strict_lines(log: Path) -> list[Any]:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{log}: {constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("processes", [1, 2])
def test_training_that_leaves_the_numbers_stops_at_once_with_step_and_remedy(
    server: ForkServer, data: Path, tmp_path: Path, processes: int
) -> None:
    rates = ("train.lr_matrix=1e30", "train.lr_embed=1e30", "train.lr_scalar=1e30", "train.max_steps=200")
    ended = server.run(*_train(data, tmp_path, *rates, "train.log_every=1"), processes=processes)
    assert ended.codes == [2] * processes and "Traceback" not in ended.said[0], ended.said
    steps = [record["step"] for record in _strict_lines(tmp_path / "log.jsonl")]
    assert f"after step {len(steps) + 1};" in ended.said[0] and "train.lr_matrix = 1e+30" in ended.said[0]
    assert len(steps) < 100 and not (tmp_path / "artifact.safetensors").exists()


def test_what_was_trained_outlives_packing_whatever_the_settings(
    server: ForkServer, run: Path, data: Path, tmp_path: Path
) -> None:
    """Killed while packing, with no checkpoints asked for."""
    killed = server.run(*_train(data, tmp_path), moment=Moment("packing"))
    assert killed.codes == [-9] and not (tmp_path / "artifact.safetensors").exists(), killed.said
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["step-00000024.safetensors"]
    packed = server.run(*_train(data, tmp_path), "--resume")
    assert packed.fine, packed.said
    assert (tmp_path / "artifact.safetensors").read_bytes() == (run / "artifact.safetensors").read_bytes()
    assert not (tmp_path / "checkpoint").exists()  # none was asked for, and none is needed any more


def test_a_closed_terminal_keeps_a_checkpoint(data: Path, tmp_path: Path) -> None:
    settings = [*tiny_settings(), "--set", "train.max_steps=100000", "--set", "train.log_every=1"]
    command = [sys.executable, "-m", "regrow", "train", "--data", data, "--out", tmp_path, *settings]
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, preexec_fn=_hear_all
    ) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "log.jsonl").exists() or not (tmp_path / "log.jsonl").read_text():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 129 and "--resume" in said, said
    assert len(list((tmp_path / "checkpoint").iterdir())) == 1


@pytest.mark.parametrize(
    "variable", ["OMP_THREAD_LIMIT=1", pytest.param("OMP_DYNAMIC=TRUE", marks=pytest.mark.slow)]
)
def test_broken_products_never_become_figures(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """bfloat16 products of some builds are NaN when OpenMP gives fewer threads than were asked for."""
    name, value = variable.split("=")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv(name, value)
    before = json.loads((run / "result.json").read_text())
    scored = run_regrow("eval", run / "artifact.safetensors", "--data", data, "--json")
    trained = run_regrow("train", "--data", data, "--out", tmp_path, *tiny_settings())
    drawn = run_regrow("sample", run / "artifact.safetensors", "--tokens", "5")
    for done in (scored, trained, drawn):
        assert done.returncode == 0 or (done.returncode == 2 and "OMP_NUM_THREADS=1" in done.stderr), done
        assert "Traceback" not in done.stderr and "nan" not in done.stdout
    after = json.loads((run / "result.json").read_text())
    assert after["bpb"]["neural_unquantized"] == before["bpb"]["neural_unquantized"] is not None
    if scored.returncode == 0:
        assert json.loads(scored.stdout)["bpb"]["blended"] > 0
    else:
        assert after == before
    if trained.returncode == 0:
        assert json.loads((tmp_path / "result.json").read_text())["bpb"]["neural_unquantized"] > 0
    else:
        assert not any(tmp_path.iterdir())


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def _is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow), signal.SIGINT, signal.SIGKILL],
)
def test_the_decoder_of_a_proof_ends_with_it_and_leaves_nothing(
    run: Path, data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = [
        sys.executable,
        "-m",
        "regrow",
        "prove",
        str(run / "artifact.safetensors"),
        "--data",
        str(data),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=_hear_all,
    ) as process:
        deadline = time.monotonic() + 120
        while not (children := _children(process.pid)) or not any(tmp_path.glob("regrow-proof-*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        assert process.stderr
        process.stderr.read()
        assert process.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 10
    while any(map(_is_alive, children)):
        assert time.monotonic() < deadline, "the decoder goes on alone"
        time.sleep(0.01)
    if number != signal.SIGKILL:  # which lets nobody clean up
        assert not list(tmp_path.glob("regrow-proof-*"))


def test_a_run_that_fails_where_another_finished_leaves_it_as_it_was_and_one_that_ends_takes_its_place(
    server: ForkServer, run: Path, data: Path, tmp_path: Path
) -> None:
    assert server.run(*_train(data, tmp_path)).fine
    finished = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    first = json.loads((tmp_path / "result.json").read_text())["run"]
    assert first and set(run_ids(tmp_path).values()) == {first} and len(run_ids(tmp_path)) == 3
    other = _train(data, tmp_path, "train.seed=2")
    refused = server.run(*other)
    assert refused.codes == [2] and "--overwrite" in refused.said[0], refused.said
    killed = server.run(*other, "--overwrite", moment=Moment("packing"))
    assert killed.codes == [-9]
    now = {path: path.read_bytes() for path in finished}
    assert now == finished
    resumed = server.run("train", "--data", data, "--out", tmp_path, "--resume")
    assert resumed.fine, resumed.said
    second = json.loads((tmp_path / "result.json").read_text())
    assert second["seed"] == 2 and second["run"] != first and not (tmp_path / "unfinished").exists()
    assert set(run_ids(tmp_path).values()) == {second["run"]}
    assert (tmp_path / "artifact.safetensors").stat().st_size == second["bytes"]["total"]
    page = server.run("report", tmp_path)
    assert page.fine and "another run" not in (tmp_path / "report.html").read_text()
    config = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(config.replace(second["run"], first))
    assert server.run("report", tmp_path).fine
    assert "is of another run" in (tmp_path / "report.html").read_text()


def test_one_process_at_a_time_trains_in_a_folder(server: ForkServer, data: Path, tmp_path: Path) -> None:
    with locked(tmp_path):
        ended = server.run(*_train(data, tmp_path))
        assert ended.codes == [2] and "another process is training in it" in ended.said[0], ended.said
        assert not any(tmp_path.iterdir())
    assert server.run(*_train(data, tmp_path / "refused", "pack.budget_bytes=9000")).codes == [2]
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize("megabytes", [150, 250, 600, 900])
@pytest.mark.parametrize("command", ["eval", "prove", "compress"])
def test_a_limit_of_memory_is_one_sentence(run: Path, tmp_path: Path, command: str, megabytes: int) -> None:
    """Libraries that are loaded in part end in their exit hooks, in std::bad_alloc, or blame a missing file."""
    (tmp_path / "text").write_text("some text")
    text, out = str(tmp_path / "text"), str(tmp_path / "o")
    given = [text, "-o", out] if command == "compress" else ["--data", text]
    done = subprocess.run(
        [sys.executable, "-m", "regrow", command, run / "artifact.safetensors", *given, "-q"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20,) * 2),
        capture_output=True,
        text=True,
        timeout=240,
    )
    if (
        command == "compress"
        and done.returncode == -signal.SIGABRT
        and "LLVM ERROR: Unable to allocate" in done.stderr
    ):
        return  # a kernel is compiled just where memory ends: LLVM ends the process itself, and says so in one line
    assert done.returncode == 2 or (command == "compress" and megabytes > 400 and done.returncode == 0), done
    lines = done.stderr.splitlines()
    assert done.returncode == 0 or (len(lines) == 1 and "there is not enough memory" in lines[0]), done.stderr
    assert (tmp_path / "o").exists() is (done.returncode == 0 and command == "compress")

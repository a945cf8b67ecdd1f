"""Several processes give the answer of one; runs that are stopped go on; what cannot go on says why."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import tiny_settings
from tests.e2e.forks import ROOT, Ended, ForkServer, Moment

WORLDS = (1, 2, 4)


def train(data: Path, out: Path, *settings: str) -> list[object]:
    extra = [part for key in settings for part in ("--set", key)]
    return ["train", "--data", data, "--out", out, "--quiet", *tiny_settings(), *extra]


def facts(ended: Ended) -> list[dict[str, Any]]:
    assert ended.fine, ended.said
    return [json.loads(said.splitlines()[-1]) for said in ended.said]


def counts_sha256(server: ForkServer, run: Path) -> str:
    (said,) = facts(server.run("inspect", run / "artifact.safetensors", "--json"))
    return str(json.dumps(said).partition('"counts_sha256": "')[2].partition('"')[0])


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def memory_of(run: Path) -> bytes:
    from safetensors.numpy import load_file

    return load_file(run / "artifact.safetensors")["memory"].tobytes()


@pytest.fixture(scope="module")
def runs(server: ForkServer, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same training with 1, 2 and 4 processes, in float32."""
    folder = tmp_path_factory.mktemp("worlds")
    for n in WORLDS:
        ended = server.run(*train(data, folder / str(n), "train.log_every=1"), processes=n, float32=True)
        assert ended.fine, ended.said
    return {n: folder / str(n) for n in WORLDS}


@pytest.mark.parametrize(
    ("length", "vocab", "order", "cap"),
    [
        (20_000, 200, 6, 0),
        (20_000, 2000, 7, 0),
        (5000, 60_000, 9, 0),
        (3, 200, 5, 0),
        (20_000, 200, 6, 150_000),
    ],
)
def test_counts_of_many_processes_are_byte_for_byte_those_of_one(
    server: ForkServer, length: int, vocab: int, order: int, cap: int
) -> None:
    """The last: each process may have passed its cap, but all agree and the error bounds add."""
    one = facts(server.run(5, length, vocab, order, cap, call="merged_counts"))[0]
    for n in WORLDS[1:]:
        told = facts(server.run(5, length, vocab, order, cap, call="merged_counts", processes=n))
        assert len({f["sha256"] for f in told}) == 1
        assert all(f["total"] == one["total"] for f in told)
        if not cap:
            assert {f["sha256"] for f in told} == {one["sha256"]}
        if length > 1000:
            samples = 256 * 8 * 8 * n * order  # cut points, and sizes: they do not grow with the text
            assert all(f["sent"] <= f["own"] + samples for f in told)
            longest = [f["sizes"][-1] for f in told]
            assert max(longest) <= 1.3 * sum(longest) / n, "ranges are about equal"


def test_losses_and_memory_do_not_depend_on_the_number_of_processes(
    server: ForkServer, runs: dict[int, Path]
) -> None:
    """In float32 losses agree to a thousandth at every step; counts and the stored memory to the byte."""
    for n in WORLDS:
        assert json.loads((runs[n] / "result.json").read_text())["world_size"] == n
        assert losses(runs[n]) == pytest.approx(losses(runs[1]), rel=1e-3)
        assert counts_sha256(server, runs[n]) == counts_sha256(server, runs[1])
        assert memory_of(runs[n]) == memory_of(runs[1])


def test_prequential_counts_are_those_of_one_process(server: ForkServer, data: Path, tmp_path: Path) -> None:
    for n in WORLDS[:2]:
        made = server.run(
            *train(data, tmp_path / str(n), "memory.fill=prequential", "model.memory_input=0", "train.log_every=1"),
            processes=n, float32=True,
        )  # fmt: skip
        assert made.fine, made.said
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-3)
    assert counts_sha256(server, tmp_path / "2") == counts_sha256(server, tmp_path / "1")


@pytest.mark.parametrize("stride", [[], ["--stride", "32"]])
def test_evaluation_by_many_processes_is_that_of_one(
    server: ForkServer, runs: dict[int, Path], data: Path, stride: list[str]
) -> None:
    command = ["eval", runs[1] / "artifact.safetensors", "--data", data, "--json", "--quiet", *stride]
    one = facts(server.run(*command))[0]["bpb"]
    for n in WORLDS[1:]:
        ended = server.run(*command, processes=n)
        assert ended.fine, ended.said
        assert [bool(said) for said in ended.said] == [True] + [False] * (n - 1), "one process speaks"
        many = json.loads(ended.said[0])["bpb"]
        for part in ("neural", "memory", "blended"):
            assert many[part] == pytest.approx(one[part], abs=1e-9)


def test_a_batch_that_cannot_be_dealt_out_evenly_names_the_nearest_numbers(
    server: ForkServer, data: Path, tmp_path: Path
) -> None:
    ended = server.run(*train(data, tmp_path), processes=3)
    assert ended.codes == [2] * 3 and "start 2 or 4" in ended.said[0] and "Traceback" not in ended.said[0]


@pytest.mark.parametrize("fill", ["ahead", pytest.param("prequential", marks=pytest.mark.slow)])
def test_sigterm_keeps_a_checkpoint_from_which_any_number_of_processes_goes_on(
    fill: str, server: ForkServer, data: Path, runs: dict[int, Path], tmp_path: Path
) -> None:
    """Either way of filling the memory with as many processes as before; with more, and with fewer."""
    for n, then in ((2, 2), (1, 2)) if fill == "ahead" else ((2, 2), (2, 1)):
        settings: tuple[str, ...] = (f"memory.fill={fill}", "train.log_every=1", "train.ema=0.5")
        settings += ("model.memory_input=0",) if fill == "prequential" else ()
        whole, out = tmp_path / f"{fill}-whole-{n}", tmp_path / f"{fill}-{n}-{then}"
        if not whole.exists():
            assert server.run(*train(data, whole, *settings), processes=n).fine
        stopped = server.run(*train(data, out, *settings), processes=n, stop=str(out / "log.jsonl"))
        assert stopped.codes == [143] * n and all("--resume" in said for said in stopped.said), stopped.said
        assert not (out / "artifact.safetensors").exists()
        assert len(list((out / "checkpoint").iterdir())) == 1
        resumed = server.run(*train(data, out, *settings), "--resume", processes=then)
        assert resumed.fine, resumed.said
        assert [r["step"] for r in map(json.loads, (out / "log.jsonl").open())] == list(range(1, 25))
        if n == then:
            expected = (whole / "artifact.safetensors").read_bytes()
            assert (out / "artifact.safetensors").read_bytes() == expected
        else:
            assert counts_sha256(server, out) == counts_sha256(server, whole)
            assert memory_of(out) == memory_of(whole)
            a, b = (json.loads((r / "result.json").read_text())["bpb"] for r in (out, whole))
            assert abs(a["neural_unquantized"] - b["neural_unquantized"]) <= 0.01


def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(
    server: ForkServer, data: Path, tmp_path: Path
) -> None:
    out, settings = tmp_path / "run", ("train.checkpoint_seconds=0.01",)
    assert server.run(*train(data, tmp_path / "whole", *settings)).fine
    died = server.run(*train(data, out, *settings), moment=Moment("packing"))
    assert died.codes == [-9]
    kept = sorted((out / "checkpoint").glob("step-*"))
    assert len(kept) == 2
    spoiled = bytearray(kept[-1].read_bytes())
    spoiled[-100] ^= 4
    kept[-1].write_bytes(spoiled)
    command = [part for part in train(data, out, *settings) if part != "--quiet"]
    resumed = server.run(*command, "--resume")
    assert (
        resumed.fine
        and kept[-1].name in resumed.said[0]
        and f"going on from {kept[0].name}" in resumed.said[0]
    )
    expected = (tmp_path / "whole" / "artifact.safetensors").read_bytes()
    assert (out / "artifact.safetensors").read_bytes() == expected


def test_a_checkpoint_of_another_config_names_the_keys_that_differ(
    server: ForkServer, data: Path, tmp_path: Path
) -> None:
    settings = ("train.checkpoint_seconds=0.01",)
    assert server.run(*train(data, tmp_path, *settings)).fine
    other = server.run(*train(data, tmp_path, *settings, "model.r=16", "train.seed=2"), "--resume")
    assert other.codes == [2] and "model.r (8 there, 16 here), train.seed (1 there, 2 here)" in other.said[0]
    assert "train.max_steps" not in other.said[0]


def test_a_full_disk_stops_neither_training_nor_spoils_a_file(
    server: ForkServer, data: Path, tmp_path: Path
) -> None:
    """Checkpoints do not fit: it is said, and training goes on; then the artifact does not fit either."""
    settings = ("train.checkpoint_seconds=0.01",)
    command = [part for part in train(data, tmp_path, *settings) if part != "--quiet"]
    artifact = tmp_path / "artifact.safetensors"
    ended = server.run(*command, file_limit=60_000)
    assert ended.codes == [2] and "no checkpoint was kept" in ended.said[0], ended.said
    assert f"{artifact}: cannot be written" in ended.said[0] and "Traceback" not in ended.said[0]
    assert not artifact.exists() and not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("step-*"))


def test_a_folder_that_may_not_be_written_is_named_before_any_work(
    server: ForkServer, data: Path, tmp_path: Path
) -> None:
    """Whether the run's folder is there and closed, or cannot be made."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    for out in (closed, closed / "run"):
        ended = server.run(*train(data, out), modest=True)
        assert ended.codes == [2], ended.said
        assert f"{out}" in ended.said[0] and "permission denied" in ended.said[0].lower()
        assert "Traceback" not in ended.said[0] and not list(closed.iterdir())


def test_a_proof_by_many_processes_proves_the_whole_text(
    server: ForkServer, runs: dict[int, Path], data: Path
) -> None:
    """Each process has a piece and its share of the streams, so the bits stay what they were but for the headers."""
    command = ["prove", runs[1] / "artifact.safetensors", "--data", data, "--json", "--quiet"]
    one = facts(server.run(*command))[0]["proof"]
    ended = server.run(*command, processes=2)
    assert ended.fine, ended.said
    assert [bool(said) for said in ended.said] == [True, False], "one process speaks"
    many = json.loads(ended.said[0])["proof"]
    assert many["sha256_match"] and many["raw_bytes"] == one["raw_bytes"]
    assert (many["processes"], one["processes"]) == (2, 1)
    assert 0 < many["stream_bytes"] <= 1.03 * one["stream_bytes"] + 400


def test_a_table_is_pruned_by_the_first_process_alone(server: ForkServer, data: Path, tmp_path: Path) -> None:
    """Their weight is measured while the other process waits: nothing in it may ask for that one."""
    settings = ("memory.stored=table", "memory.cap_bytes=9000")
    ended = server.run(*train(data, tmp_path / "run", *settings), processes=2)
    assert ended.fine, ended.said
    (said,) = facts(server.run("inspect", tmp_path / "run" / "artifact.safetensors", "--json"))
    assert 0 < said["ledger"]["memory"] <= 9000


def test_an_adaptive_proof_is_made_by_one_process_of_several(
    server: ForkServer, runs: dict[int, Path], data: Path
) -> None:
    small = ("--set", "eval.adapt_streams=4", "--set", "eval.ttt=none")
    ended = server.run(
        "prove",
        runs[1] / "artifact.safetensors",
        "--data",
        data,
        "--ttt",
        *small,
        "--json",
        "--quiet",
        processes=2,
    )
    assert ended.fine, ended.said
    proof = json.loads(ended.said[0])["proof"]
    assert proof["sha256_match"] and proof["track"] == "adaptive" and proof["processes"] == 1
    assert not ended.said[1]


def test_a_process_does_not_wait_long_for_one_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed before the group formed: without torchrun nobody ends those that wait for it."""
    from regrow.core import dist
    from regrow.core.errors import EnvironmentProblem

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(dist, "_JOINING", timedelta(seconds=1))
    for name, value in (("RANK", 0), ("WORLD_SIZE", 2), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port)):
        monkeypatch.setenv(name, str(value))
    with pytest.raises(EnvironmentProblem, match="cannot form a group"), dist.process_group():
        pass


def test_processes_started_without_a_group_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from regrow.core.dist import process_group

    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    with process_group() as group:
        assert group.world_size == 1
    assert "WARNING: srun started 8 processes that do not form a group" in capsys.readouterr().err


@pytest.mark.long
def test_torchrun_starts_a_run_again_that_lost_a_process(data: Path, tmp_path: Path) -> None:
    """The second process kills itself after some steps; torchrun's restart goes on from the checkpoint, unasked."""
    script = tmp_path / "dies_once.py"
    script.write_text(
        "import os, sys\n"
        "from tests.e2e.forks import Moment, arm\n"
        "from regrow.cli import main\n"
        "if os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':\n"
        "    arm(Moment('late', occurrence=8))\n"
        "sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", script,
        *train(data, tmp_path / "run", "train.checkpoint_seconds=0.001", "train.log_every=1"),
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        list(map(str, command)), env=env, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no longer answer" in done.stderr  # the other process said why it stopped
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["world_size"] == 2 and result["steps"] == 24

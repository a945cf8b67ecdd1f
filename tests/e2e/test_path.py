"""The whole path through the command line, on a tiny text."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from tests.e2e.conftest import run_json, run_regrow, tiny_settings

from regrow.cli.schemas import schema

KEYS = set(
    "schema preset seed device threads world_size torch data bytes bpb proof seconds steps train_tokens_seen "
    "tokens_per_second".split()
)


def test_a_run_is_scored_and_proven_and_its_result_has_every_key(run: Path, data: Path) -> None:
    artifact = run / "artifact.safetensors"
    scored = run_json("eval", artifact, "--data", data)
    proof = run_json("prove", artifact, "--data", data)
    proof = proof.get("proof", proof)
    result = json.loads((run / "result.json").read_text())
    assert result.keys() >= KEYS
    jsonschema.validate(result, schema("result"))
    assert result["bpb"].keys() >= {
        "neural",
        "neural_unquantized",
        "memory",
        "blended",
        "ttt",
        "official_bytes",
    }
    parts = {k: v for k, v in result["bytes"].items() if k not in ("total", "budget")}
    assert sum(parts.values()) == result["bytes"]["total"] == artifact.stat().st_size
    assert parts["base"] == 0
    assert proof["sha256_match"] is True
    assert proof["max_abs_row_sum_error"] <= 1e-6
    assert proof["bpb"] == 8 * proof["stream_bytes"] / proof["raw_bytes"]
    # What is spent beyond the score is the stream's header; on so short a text it shows.
    assert scored["bpb"]["blended"] <= proof["bpb"] <= scored["bpb"]["blended"] + 8 * 140 / proof["raw_bytes"]
    assert all(0 < scored["bpb"][part] < 8 for part in ("neural", "memory", "blended"))
    for name in ("config.toml", "log.jsonl", "tensorboard"):
        assert (run / name).exists()


def test_sliding_windows_score_every_token_and_know_no_less(run: Path, data: Path) -> None:
    artifact = run / "artifact.safetensors"
    whole = run_json("eval", artifact, "--data", data, "--stride", 64)["bpb"]["blended"]
    sliding = run_json("eval", artifact, "--data", data, "--stride", 32)["bpb"]["blended"]
    assert sliding < whole + 0.01


def test_any_bytes_come_back(run: Path, tmp_path: Path) -> None:
    artifact = run / "artifact.safetensors"
    for name, content in {
        "empty": b"",
        "one": b"\x00",
        "nasty": bytes(range(256)) + "\u2581\ufffd x\r\n".encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert run_regrow("compress", artifact, tmp_path / name, "-f", "-o", tmp_path / "s").returncode == 0
        assert (
            run_regrow("decompress", artifact, tmp_path / "s", "-f", "-o", tmp_path / "back").returncode == 0
        )
        assert (tmp_path / "back").read_bytes() == content


def test_a_damaged_stream_or_artifact_is_one_sentence_and_writes_nothing(run: Path, tmp_path: Path) -> None:
    artifact = run / "artifact.safetensors"
    (tmp_path / "t").write_bytes(b"some words to be coded, and then spoiled " * 9)
    assert run_regrow("compress", artifact, tmp_path / "t", "-o", tmp_path / "s").returncode == 0
    stream = (tmp_path / "s").read_bytes()
    for spoiled in (stream[:-3], stream[:5], b"", stream[:40] + bytes([stream[40] ^ 1]) + stream[41:]):
        (tmp_path / "bad").write_bytes(spoiled)
        done = run_regrow("decompress", artifact, tmp_path / "bad", "-o", tmp_path / "out")
        assert done.returncode == 2 and "Traceback" not in done.stderr and not (tmp_path / "out").exists()
    whole = artifact.read_bytes()
    for spoiled in (whole[:-1], whole[: len(whole) // 2], whole[:-9] + b"x" + whole[-8:]):
        (tmp_path / "artifact").write_bytes(spoiled)
        done = run_regrow("inspect", tmp_path / "artifact")
        assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_same_command_and_seed_give_the_same_bytes(run: Path, data: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run_regrow("train", "--data", data, "--out", again, *tiny_settings()).returncode == 0
    first, second = (
        hashlib.sha256((r / "artifact.safetensors").read_bytes()).hexdigest() for r in (run, again)
    )
    assert first == second


def test_ctrl_c_keeps_a_checkpoint_from_which_the_same_artifact_grows(
    run: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "regrow", "train", "--data", data, "--out", out, *tiny_settings()]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (out / "log.jsonl").exists() or not (out / "log.jsonl").read_text():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    if process.returncode == 0:  # the run was over before the signal came
        return
    assert process.returncode == 130 and "checkpoint" in stderr and "Traceback" not in stderr
    assert not (out / "artifact.safetensors").exists()
    assert run_regrow("train", "--data", data, "--out", out, "--resume").returncode == 0
    assert (out / "artifact.safetensors").read_bytes() == (run / "artifact.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_train_one_artifact(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-port", str(20000 + os.getpid() % 9999),
        "-m", "regrow", "train", "--data", data, "--out", tmp_path / "two", *tiny_settings(),
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "two" / "result.json").read_text())["world_size"] == 2


def test_a_full_disk_leaves_no_half_written_file(run: Path, tmp_path: Path) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    (tmp_path / "t").write_bytes(bytes(range(256)) * 8)
    command = [
        sys.executable,
        "-m",
        "regrow",
        "compress",
        run / "artifact.safetensors",
        tmp_path / "t",
        "-o",
        tmp_path / "s",
    ]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=240, check=False, preexec_fn=no_room
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t"]


def test_mistakes_are_one_sentence_with_the_key_and_the_fix(data: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        done = run_regrow(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        return done.stderr

    out = tmp_path / "o"
    train = ("train", "--data", data, "--out", out, *tiny_settings())
    assert "max_steps" in refused(*train, "--set", "train.max_step=3")
    assert "train.max_steps" in refused(*train, "--set", 'train.max_steps="many"')
    assert "adapters" in refused(*train, "--set", "pack.budget_bytes=9000")
    assert "memory.buckets" in refused(*train, "--set", "memory.kind=hashed", "--set", "memory.buckets=[64]")
    assert not (out / "artifact.safetensors").exists()
    assert "nowhere" in refused("data", tmp_path / "nowhere", "--out", out)
    (tmp_path / "empty.txt").write_bytes(b"")
    assert "empty" in refused("data", tmp_path / "empty.txt", "--out", out)


def test_sample_inspect_report_and_config_work_on_a_run(run: Path, tmp_path: Path) -> None:
    artifact = run / "artifact.safetensors"
    one, two = (run_json("sample", artifact, "--tokens", 20, "--seed", 5)["text"] for _ in range(2))
    assert one == two
    found = run_json("inspect", artifact)
    assert "counts_sha256" in json.dumps(found)
    assert run_regrow("report", run, "-o", tmp_path / "page.html").returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert "<html" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert run_regrow("config", "show", "demo").returncode == 0


@pytest.mark.parametrize("stored", ["table", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_memory_stored_as_a_table_or_as_the_packer_sees_fit_is_proven(
    stored: str, data: Path, tmp_path: Path
) -> None:
    """With little room a text does not fit whole, so that the packer must choose."""
    out = tmp_path / "run"
    settings = ["--set", f"memory.stored={stored}", "--set", "memory.cap_bytes=9000"]
    done = run_regrow("train", "--data", data, "--out", out, *tiny_settings(), *settings)
    assert done.returncode == 0, done.stderr
    artifact = out / "artifact.safetensors"
    assert 0 < run_json("inspect", artifact)["ledger"]["memory"] <= 9000
    proof = run_json("prove", artifact, "--data", data)["proof"]
    evaluated = run_json("eval", artifact, "--data", data)["bpb"]
    assert proof["sha256_match"] and proof["max_abs_row_sum_error"] < 1e-6
    header = proof["stream_bytes"] - evaluated["blended"] * proof["raw_bytes"] / 8
    assert 0 < header < 300

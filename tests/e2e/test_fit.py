"""`regrow fit`: text to a proven model in one command, which replaces nothing unasked and leaves nothing half made."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import make_text, run_json, run_regrow

STEPS = ["--set", "train.max_steps=40", "--set", "train.max_seconds=0", "--set", "train.eval_every=8"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "mine.txt"
    path.write_text(make_text(3, 5000), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(text: Path) -> Path:
    out = text.parent / "model"
    done = run_regrow("fit", text, "--budget", "300kB", "--minutes", "60s", "-o", out, *STEPS)
    assert done.returncode == 0, done.stderr
    assert "held out: the end of the text" in done.stderr
    assert "The same text with" in done.stdout and "proven" in done.stdout and "With --ttt" in done.stdout
    return out


def test_the_model_is_never_worse_than_the_better_part_and_better_than_xz(model: Path) -> None:
    result = json.loads((model / "result.json").read_text())
    candidates, proof = result["candidates"], result["proof"]
    assert candidates[result["kept"]] == min(candidates.values())
    assert result["bpb"]["blended"] == pytest.approx(min(candidates.values()), abs=1e-3)
    assert proof["sha256_match"] and proof["bpb"] < 0.75 * result["baselines"]["xz -9e"]
    assert result["proof_adaptive"]["sha256_match"] and result["proof_adaptive"]["track"] == "adaptive"
    assert (model / "artifact.safetensors").stat().st_size == result["bytes"]["total"] <= 300_000
    held_out = result["data"]["val_bytes"] / (result["data"]["train_bytes"] + result["data"]["val_bytes"])
    assert held_out == pytest.approx(0.1, abs=0.02)
    records = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    assert sum("held_out_bpb" in record for record in records) >= 2


def test_the_page_is_about_the_model_and_the_model_works(model: Path, text: Path, tmp_path: Path) -> None:
    page = (model / "report.html").read_text()
    assert "xz -9e" in page and ".regrow-" not in page
    sample = run_json("sample", model, "--no-cache")["text"]
    assert json.loads((model / "excerpt.json").read_text())["sample"] == sample and "<blockquote>" in page
    run_json("compress", model / "artifact.safetensors", text, "-o", tmp_path / "small")
    run_json("decompress", model / "artifact.safetensors", tmp_path / "small", "-o", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == text.read_bytes()
    proof = run_json("prove", model / "artifact.safetensors", "--data", model / "data", "--ttt")
    assert f"{proof['bpb']:.4f}" in (model / "report.html").read_text(), "the page follows the run"


def test_a_uniform_text_has_the_vocabulary_that_it_gives(tmp_path: Path) -> None:
    """It takes no more merges than it has words; one asked for is refused."""
    log = tmp_path / "log.txt"
    log.write_text("".join(f"2026-03-{n % 28 + 1:02d} INFO job {n % 7} done\n" for n in range(4000)))
    out, steps = tmp_path / "m", ["--set", "train.max_steps=2", "--set", "train.max_seconds=0"]
    done = run_regrow("fit", log, "--budget", "400kB", "--minutes", "20s", "-o", out, *steps)
    assert done.returncode == 0 and "the text gives a vocabulary of" in done.stderr
    assert json.loads((out / "result.json").read_text())["proof"]["sha256_match"]
    done = run_regrow("fit", log, "-o", tmp_path / "n", *steps, "--set", "data.vocab_size=512")
    assert (
        done.returncode == 2 and "too uniform for more than" in done.stderr and not (tmp_path / "n").exists()
    )


def test_nothing_is_replaced_unasked(model: Path, text: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    done = run_regrow("fit", text, "-o", model, *STEPS)
    assert done.returncode == 2 and "give -f to replace it" in done.stderr
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    (tmp_path / "mine").write_text("precious")
    done = run_regrow("fit", text, "-f", "-o", tmp_path, *STEPS)
    assert done.returncode == 2 and "is no model of regrow fit" in done.stderr
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize(("option", "value"), [("--budget", "4 apples"), ("--minutes", "soon")])
def test_what_cannot_be_read_is_one_sentence(option: str, value: str, text: Path, tmp_path: Path) -> None:
    done = run_regrow("fit", text, "-o", tmp_path / "m", option, value)
    assert (
        done.returncode == 2
        and done.stderr.count("\n") == 1
        and f"{option} {value}: cannot be read" in done.stderr
    )


def test_ctrl_c_in_training_leaves_nothing(text: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "regrow", "fit", str(text), "-o", str(tmp_path / "m")]
    command += [
        "--set",
        "train.max_tokens=0",
        "--set",
        "train.max_steps=100000",
        "--set",
        "train.max_seconds=0",
    ]
    command += ["--set", "train.compile=off"]
    # A shell starts what runs in the background with the signal ignored, and a test of it may be such.
    reset = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=reset)
    assert process.stderr is not None
    said = ""
    while "train:" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted; nothing was written" in said
    assert not list(tmp_path.iterdir())

"""What people know from other tools: shell completion, a run's folder for its artifact, --device, short options."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.test_cli import run_folder, stub

from regrow.cli import main
from regrow.cli.app import COMMANDS
from regrow.cli.runs import better_part
from regrow.core.dist import process_group
from regrow.core.errors import ConfigError, EnvironmentProblem
from regrow.core.results import Bpb


def regrow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regrow", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("regrow comp", ["compress"]),
        ("regrow records ", ["compress", "decompress"]),
        ("regrow audit --lis", ["--list-rules"]),
    ],
)
def test_a_shell_completes_commands_and_options(words: str, found: list[str]) -> None:
    at = str(words.count(" "))
    done = regrow(_REGROW_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=at)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, found, "")


def in_bash(option: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`regrow OPTION` started by bash: its scripts are for the shell that starts it, which is `sh` under make."""
    line = f"{shlex.quote(sys.executable)} -m regrow {option}; exit $?"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=os.environ | environment, check=False
    )


def test_the_script_for_a_shell_is_shown_and_installed_at_home(tmp_path: Path) -> None:
    shown = in_bash("--show-completion")
    assert shown.returncode == 0 and "_REGROW_COMPLETE=complete_bash" in shown.stdout, shown.stderr
    installed = in_bash("--install-completion", HOME=str(tmp_path))
    assert installed.returncode == 0 and shown.stdout.split()[0] in "".join(
        path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    )


def test_every_command_is_quiet_by_one_letter(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([*name.split(), "--help"]) == 0
        assert "-q, --quiet" in capsys.readouterr().out
    assert main(["-V"]) == 0


@pytest.fixture
def run(small_artifact: Path, tmp_path: Path) -> Path:
    """The folder of a run, with its artifact."""
    folder = tmp_path / "run"
    run_folder(folder)
    shutil.copy(small_artifact, folder / "artifact.safetensors")
    return folder


def test_a_runs_folder_stands_for_its_artifact(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever an artifact is wanted; other commands are asked in tests of their own."""
    line = run.parent / "line.txt"
    line.write_text("the state of the union\n")
    for command in (
        ["inspect"], ["sample", "--tokens", "1"], ["audit"], ["compress", str(line)],
        ["score", str(line), "-o", str(line.with_suffix(".jsonl"))],
        ["records", "compress", str(line), "-o", str(line.with_suffix(".rgr"))],
        ["eval", "--data", str(line)],
    ):  # fmt: skip
        name = command[:2] if command[0] == "records" else command[:1]
        rest = command[len(name) :]
        at = 0 if name != ["sample"] else len(rest)
        assert main([*name, *rest[:at], str(run), *rest[at:], "-q"]) == 0, command
    assert "CLEAN" in capsys.readouterr().out


def test_a_folder_with_code_is_audited_as_a_submission(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "train_gpt.py").write_text("val_bpb = 1\n")
    main(["audit", str(run), "--json"])
    assert json.loads(capsys.readouterr().out)["path"] == str(run)


@pytest.mark.parametrize(
    ("device", "error", "says"),
    [
        ("gpu", ConfigError, "choose cpu, cuda or cuda:N"),
        ("cpu:1", ConfigError, "choose cpu, cuda or cuda:N"),
        ("cuda:x", ConfigError, "choose cpu, cuda or cuda:N"),
        ("cuda", EnvironmentProblem, "sees no GPU"),
    ],
)
def test_a_device_that_is_none_or_not_there_is_a_sentence(
    device: str, error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=says), process_group(device=device):
        pass


def test_the_cpu_is_taken_though_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with process_group(device="cpu") as group:
        assert group.device == torch.device("cpu") and not chosen
    with process_group(device="cuda:1") as group:
        assert group.device == torch.device("cuda", 1) == chosen[0]
    with pytest.raises(EnvironmentProblem, match="2 GPUs"), process_group(device="cuda:2"):
        pass


def test_eval_scores_on_the_device_that_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run.parent / "text.txt"
    text.write_text("the state of the union is strong. " * 9)
    figures: list[Any] = []
    for device in ([], ["--device", "cpu"]):
        assert main(["eval", str(run), "--data", str(text), "--json", *device]) == 0
        figures.append(json.loads(capsys.readouterr().out)["bpb"])
    assert figures[0] == figures[1] and figures[0]["blended"]


def test_train_warns_where_a_part_alone_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    from regrow.core.results import Result

    artifact = run_folder(tmp_path / "run")
    done = SimpleNamespace(
        is_first=True, result=Result.load(artifact.parent / "result.json"), artifact=artifact
    )
    text = bytes(range(256)) * 1024
    data = SimpleNamespace(vocab_size=300, val_bytes=text, tokenizer=SimpleNamespace(to_bytes=lambda: b""))
    asked: list[bytes] = []

    def evaluate(path: Path, sample: bytes) -> Any:
        asked.append(sample)
        return SimpleNamespace(bpb=Bpb(neural=2.0, memory=1.5, blended=1.6))

    stub(monkeypatch, "data.dataset", Dataset=SimpleNamespace(load=lambda path: data))
    stub(monkeypatch, "training.trainer", train=lambda *a, **k: done)
    stub(monkeypatch, "training.needs", check_budget=lambda *a: None)
    stub(monkeypatch, "predict.evaluation", evaluate=evaluate)
    stub(monkeypatch, "challenge.log_lines", log_writers=lambda *a: [])
    assert main(["train", "--data", "d", "--out", str(tmp_path / "new")]) == 0
    out, err = capsys.readouterr()
    assert "mixture   1.6000 bits per byte of a sample" in out and "memory alone 1.5000" in out
    assert "the memory alone is better than the mixture" in err
    assert len(asked[0]) == 65536 and asked[0][8192:8200] == text[len(text) // 8 :][:8], (
        "from all over the text"
    )
    assert better_part(Bpb(neural=2.0, memory=1.5, blended=1.4)) == ""

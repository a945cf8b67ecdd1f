"""What the command line promises whatever the command: one line an error, an exit code, one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from regrow import __version__
from regrow.cli import main
from regrow.cli.app import COMMANDS
from regrow.cli.demo import account, figures
from regrow.core.errors import BudgetError, DataError
from regrow.core.files import sha256_hex
from regrow.core.results import Bpb, DataFigures, Proof, Result, Seconds

HELD_OUT = b"held-out text"


def stub(monkeypatch: pytest.MonkeyPatch, module: str, **names: Any) -> None:
    """Stand in for a workflow, which has tests of its own."""
    made = types.ModuleType(f"regrow.{module}")
    for name, value in names.items():
        setattr(made, name, value)
    monkeypatch.setitem(sys.modules, f"regrow.{module}", made)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("regrow: error: ") and captured.err.count("\n") == 1
    return captured.err


def run_folder(folder: Path) -> Path:
    """A folder with an artifact and a result, and a data folder beside it; returns the artifact."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "val.txt").write_bytes(HELD_OUT)
    (folder / "artifact.safetensors").write_bytes(b"")
    Result(
        preset="demo",
        seed=1,
        device="cpu",
        threads=2,
        world_size=1,
        torch="2",
        data=DataFigures("sotu", 1, 1, len(HELD_OUT), 3, sha256_hex(HELD_OUT)),
        steps=1,
        train_tokens_seen=1,
    ).save(folder / "result.json")
    return folder / "artifact.safetensors"


def good_proof() -> Proof:
    return Proof(1.2, 2, 13, True, 1e-9, 0.1, 0.2)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["demo", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """What makes --help quick is what it does not import; a clock here would measure the machine's load."""
    heavy = ["torch", "numpy", "numba", "matplotlib", "sentencepiece", "safetensors"]
    code = f"""
import sys
from regrow.cli import main
assert main({arguments!r}) == 0
assert not [name for name in {heavy!r} if name in sys.modules]
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_every_command_of_the_contract_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    contract = (
        "demo data train eval prove compress decompress sample inspect audit report submit bench config"
    )
    since = {"fit", "score", "records compress", "records decompress", "ngram build"}
    assert [name for name in COMMANDS if name not in since] == contract.split()
    assert since < set(COMMANDS)
    for name in COMMANDS:
        assert main([*name.split(), "--help"]) == 0
        text = capsys.readouterr().out
        assert "--json" in text and "--quiet" in text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("demo", "--out"),
        ("data", "--out --variant --set"),
        ("train", "--preset --config --data --out --set --resume --overwrite"),
        ("eval", "--data --stride --ttt --official-bytes"),
        ("prove", "--data --ttt"),
        ("compress", "-o --out -c -k -f -q --ttt"),
        ("decompress", "-o --out -c -k -f -q -t -l --ttt"),
        ("records compress", "-o --out -f --force --text-field"),
        ("records decompress", "-o --out -f --force --record"),
        ("sample", "--prompt --tokens --seed --temperature --top-p --stream"),
        ("audit", "--run --smoke --many --fail-on --sarif"),
        ("report", "-o"),
        ("submit", "--out --author --github-id --baseline --track"),
        ("bench", "--train --val"),
    ],
)
def test_every_option_of_the_contract_is_there(
    name: str, options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*name.split(), "--help"])
    text = capsys.readouterr().out.replace(",", " ").split()
    assert not [option for option in options.split() if option not in text]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"regrow {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["train"], ["eval", "a", "--data", "b", "--nope"], []])
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_what_is_no_shard_or_run_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty shard in a folder of shards, a run that is not there: the file and the fix."""
    (tmp_path / "fineweb_val_000000.bin").write_bytes(b"")
    assert main(["data", str(tmp_path), "--out", "b"]) == 2
    assert "holds no train shard" in error_line(capsys)
    assert main(["submit", str(tmp_path), "--out", str(tmp_path / "b")]) == 2
    assert "has no artifact.safetensors" in error_line(capsys)


@pytest.mark.parametrize(
    ("error", "code", "names"),
    [
        (DataError("val.txt: is empty, choose\nanother."), 2, "val.txt: is empty, choose another."),
        (BudgetError("too large"), 1, "too large"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "/x/y: permission denied."),
        (
            ZeroDivisionError("oh"),
            2,
            "ZeroDivisionError: oh (this is a bug; `regrow --debug ...` shows where)",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("the checkpoint is in runs/x"), 130, "the checkpoint is in runs/x"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: BaseException,
    code: int,
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    stub(monkeypatch, "report.page", write_report=fail)
    assert main(["report", "run"]) == code
    assert names in error_line(capsys)


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stub(monkeypatch, "report.page", write_report=lambda *_: 1 // 0)
    assert main(["--debug", "report", "run"]) == 2
    text = capsys.readouterr().err
    assert "Traceback" in text and "--debug" not in text.splitlines()[-1]


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "missing")
    assert main(["compress", "a", missing, "-o", str(tmp_path / "out")]) == 2
    assert missing in error_line(capsys)


def test_an_unknown_key_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "d", "--out", "o", "--set", "train.max_step=3"]) == 2
    assert "train.max_steps" in error_line(capsys)


def test_a_preset_and_a_file_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "d", "--out", "o", "--preset", "demo", "--config", "x.toml"]) == 2
    assert "--preset and --config" in error_line(capsys)


def test_json_is_one_object_whatever_a_workflow_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prove(artifact: Path, data: Path, progress: Any, **settings: Any) -> Proof:
        print("a library's remark")
        with progress.task("encode") as task:
            task.advance(1)
        return good_proof()

    stub(monkeypatch, "predict.proof", prove=prove)
    artifact = run_folder(tmp_path)
    assert main(["prove", str(artifact), "--data", str(tmp_path / "data"), "--json"]) == 0
    captured = capsys.readouterr()
    proof = msgspec.to_builtins(good_proof())
    assert json.loads(captured.out) == {"proof": proof, **proof}
    assert "a library's remark" in captured.err and "encode" in captured.err


def test_a_proof_updates_its_run_and_only_on_its_own_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(monkeypatch, "predict.proof", prove=lambda *_, **settings: good_proof())
    artifact = run_folder(tmp_path)
    other = tmp_path / "other.txt"
    other.write_bytes(b"another text")
    assert main(["prove", str(artifact), "--data", str(other)]) == 0
    assert Result.load(tmp_path / "result.json").proof is None
    assert main(["prove", str(artifact), "--data", str(tmp_path / "data")]) == 0
    assert Result.load(tmp_path / "result.json").proof == good_proof()
    assert capsys.readouterr().out.splitlines()[-1] == "proven  1.2000 bits per byte"


def test_an_adaptive_proof_makes_the_page_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptive = msgspec.structs.replace(good_proof(), bpb=1.1717, track="adaptive")
    stub(monkeypatch, "predict.proof", prove=lambda *_, **settings: adaptive)
    artifact, page = run_folder(tmp_path), tmp_path / "report.html"
    command = ["prove", str(artifact), "--data", str(tmp_path / "data"), "--ttt"]
    assert main(command) == 0 and not page.exists(), "a run without a page is not given one"
    assert main(["report", str(tmp_path)]) == 0
    before = page.read_text()
    adaptive.bpb = 1.1616
    assert main(command) == 0
    assert "1.1616" in page.read_text() and "1.1616" not in before and "1.1717" in before


def test_a_failed_proof_is_exit_1_and_still_told_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = msgspec.structs.replace(good_proof(), sha256_match=False)
    stub(monkeypatch, "predict.proof", prove=lambda *_, **settings: failed)
    artifact = run_folder(tmp_path)
    assert main(["prove", str(artifact), "--data", str(tmp_path / "data"), "--json", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["proof"]["sha256_match"] is False
    assert captured.err.count("\n") == 1


def test_eval_prints_its_parts_and_updates_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"total": 3, "budget": 9, "adapters": 3}

    def evaluate(artifact: Path, data: Path, *, stride: int | None, **settings: Any) -> Any:
        blended = 1.0 if stride == 64 else 2.0
        seconds = Seconds(eval=2.5)
        return types.SimpleNamespace(
            bpb=Bpb(1.5, 1.4, 1.3, blended), bytes=parts, seconds=seconds, excerpt=[], documents=[], tokens=9
        )

    stub(monkeypatch, "predict.evaluation", evaluate=evaluate)
    stub(monkeypatch, "artifact.artifact", Artifact=types.SimpleNamespace(load=lambda *_: None))
    artifact = run_folder(tmp_path)
    arguments = ["eval", str(artifact), "--data", str(tmp_path / "data"), "--stride", "64"]
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed)[:2] == ["bpb", "bytes"]
    assert (printed["bpb"]["blended"], printed["bytes"]) == (1.0, parts)
    assert Result.load(tmp_path / "result.json").bpb.blended is None  # windows are not the proof's streams
    assert main(arguments[:-2]) == 0
    assert "2.0000" in capsys.readouterr().out
    result = Result.load(tmp_path / "result.json")
    assert (result.bpb.blended, result.bytes, result.seconds.eval) == (2.0, parts, 2.5)


def test_resuming_takes_the_config_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def train(config: Any, data: Path, out: Path, *, resume: bool, **rest: Any) -> Any:
        seen.append(config)
        result = Result.load(out / "result.json")
        return types.SimpleNamespace(result=result, artifact=out / "artifact", is_first=True)

    stub(monkeypatch, "training.trainer", train=train)
    data = types.SimpleNamespace(vocab_size=1024, tokenizer=types.SimpleNamespace(to_bytes=bytes))
    stub(monkeypatch, "data.dataset", Dataset=types.SimpleNamespace(load=lambda path: data))
    run_folder(tmp_path)
    (tmp_path / "config.toml").write_text("[train]\nseed = 77\n")
    arguments = ["train", "--data", str(tmp_path / "data"), "--out", str(tmp_path), "--quiet"]
    (tmp_path / "checkpoint").mkdir()
    assert main([*arguments, "--resume"]) == 0
    assert main(arguments) == 2 and len(seen) == 1  # that would cost the finished run
    assert main([*arguments, "--overwrite"]) == 0
    assert (seen[0].train.seed, seen[0].preset) == (77, "custom")
    assert seen[1].preset == "demo"


def test_config_lists_shows_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    assert capsys.readouterr().out.split() == ["baseline", "books-cpu", "demo", "published", "record"]
    assert main(["config", "show", "demo", "--set", "train.max_steps=30"]) == 0
    shown = capsys.readouterr().out
    assert "max_steps = 30" in shown
    (tmp_path / "mine.toml").write_text(shown)
    assert main(["config", "check", str(tmp_path / "mine.toml")]) == 0
    assert main(["config", "show", "published", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["model"]["r"] == 64
    assert main(["config", "show"]) == 2


def test_the_demo_replaces_its_own_run_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> NoReturn:
        raise DataError("reached the work")

    monkeypatch.setattr("regrow.cli.demo.run_path", work)
    (tmp_path / "artifact.safetensors").write_bytes(b"of hours of training")
    for preset, said in (("published", "not the demo's"), ("demo", "reached the work")):
        (tmp_path / "config.toml").write_text(f'preset = "{preset}"\n')
        assert main(["demo", "--out", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "config.toml").unlink()
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "not the demo's" in capsys.readouterr().err


def test_the_demo_tells_every_figure_and_a_dash_for_what_was_not_run(tmp_path: Path) -> None:
    run_folder(tmp_path)
    result = Result.load(tmp_path / "result.json")
    assert {measured for _, measured, _ in figures(result)} <= {"-", "0"}
    result.proof, result.bpb = good_proof(), Bpb(1.303, 1.301, 1.25, 1.1988)
    result.seconds = Seconds(total=290.4, train=150.0, memory_count=1.5, memory_score=6.0, load=2.0)
    told = {what.strip(): measured for what, measured, _ in figures(result)}
    assert told["proven bits per byte"] == "1.2000"
    assert told["proven over evaluated"] == "0.10 %"
    assert told["int8 round trip"] == "+0.0020"
    assert told["counting, of training time"] == "1.00 %"
    assert told["scoring by memory, of training time"] == "4.00 %"
    assert told["the whole demo, seconds"] == "290"
    result.seconds.data, result.seconds.warm_up, result.seconds.score, result.seconds.pack = 9, 20, 8, 7
    parts = dict(account(result))
    assert parts["training"] == "150.0" and parts["evaluating"] == "-"
    proof = result.proof
    # The memory's scoring is part of training.
    known = 150 + 1.5 + 2 + 9 + 20 + 8 + 7 + proof.encode_seconds + proof.decode_seconds
    assert float(parts["all else"]) == pytest.approx(290.4 - known, abs=0.06)
    assert parts["together"] == "290.4"

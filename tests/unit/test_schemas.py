"""The published JSON schemas: those of the code, true of what is printed, and errors as JSON under `--json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from tests.unit.auditing_dynamic.audited_submission import submission
from tests.unit.test_cli import good_proof, run_folder, stub

from regrow.cli import main
from regrow.cli.app import COMMANDS
from regrow.cli.schemas import NAMES, schema
from regrow.core.config.load import load_preset, preset_names
from regrow.core.errors import ProofError
from regrow.core.results import Result, Seconds

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


def fits(name: str, value: Any) -> bool:
    """Whether a value is what the schema says."""
    checker = jsonschema.Draft202012Validator(schema(name))
    return bool(checker.is_valid(value))


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_is_current(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: `regrow config schema NAME > docs/schemas/NAME.json`."""
    assert main(["config", "schema", name]) == 0
    printed = capsys.readouterr().out
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == printed
    jsonschema.Draft202012Validator.check_schema(json.loads(printed))


def test_every_key_of_a_config_has_its_meaning_and_its_limits() -> None:
    found = schema("config")["$defs"]
    assert found["ModelConfig"]["properties"]["n_layer"] == {
        "type": "integer",
        "minimum": 0,
        "default": 4,
        "description": "0 = no network: the memory predicts alone",
    }
    # A comment above a key, one within brackets, and none of the next key's.
    assert found["MemoryConfig"]["properties"]["buckets"]["description"].startswith("hashed alone")
    assert found["ModelConfig"]["properties"]["softcap"]["description"].startswith("logits are")
    assert "description" not in found["ModelConfig"]["properties"]["n_head"]


def test_configs_fit_and_wrong_ones_do_not() -> None:
    for name in preset_names():
        assert fits("config", msgspec.to_builtins(load_preset(name)))
    assert fits("config", {"train": {"max_steps": 3}})
    for wrong in ({"train": {"max_stps": 3}}, {"train": {"max_steps": -1}}, {"model": {"seeded": "some"}}):
        assert not fits("config", wrong)


def test_a_result_fits_and_one_with_a_word_for_a_figure_does_not(tmp_path: Path) -> None:
    run_folder(tmp_path)
    path = tmp_path / "result.json"
    Result.update(path, {"proof": good_proof(), "seconds": Seconds(train=1.0), "bpb": {"blended": 1.2}})
    found = json.loads(path.read_bytes())
    assert fits("result", found) and fits("result", {**found, "new": 1})
    assert not fits("result", {**found, "steps": "many"})
    assert not fits("result", {key: value for key, value in found.items() if key != "data"})


def test_audits_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = submission(tmp_path / "all" / "big", bytes_total=17_000_000)
    submission(tmp_path / "all" / "fine")
    for arguments in ([str(tmp_path / "all"), "--many"], [str(folder), "--ignore", "size"], [str(folder)]):
        main(["audit", *arguments, "--json"])
        found = json.loads(capsys.readouterr().out)
        assert fits("audit", found)
    assert found["findings"] and not fits("audit", {**found, "verdict": "fine"})


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 2) -> dict[str, Any]:
    """The object that a command which fails prints: alone on standard output, its sentence on the other."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    found: dict[str, Any] = json.loads(out)
    assert out.count("\n") == 1 and fits("error", found) and found["exit_code"] == code
    assert err.endswith(f"regrow: error: {found['error']}\n")
    return found


@pytest.mark.parametrize(
    ("arguments", "file", "field", "fix"),
    [
        (["inspect", "no/file"], "no/file", None, "give the path of an artifact"),
        (["config", "check", "no.toml"], "no.toml", None, "check its path and permissions"),
        (["config", "check", "demo", "--set", "train.max_st=3"], None, "train.max_st", "did you mean train.max_steps"),
        (["train", "--data", "x"], None, "--out", "`regrow train --help` shows the usage"),
        (["sample", "x", "--tokens", "0"], None, "--tokens", "`regrow sample --help` shows the usage"),
        (["sampl"], None, None, "`regrow --help` shows the usage"),
        (["config", "schema", "nothing"], None, None, None),
        (["report", "no"], "no", None, None),
    ],
)  # fmt: skip
def test_an_error_is_an_object_under_json(
    arguments: list[str],
    file: str | None,
    field: str | None,
    fix: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = error_of([*arguments, "--json"], capsys)
    assert (found["file"], found["field"]) == (file, field)
    assert fix is None or found["fix"] == fix


def test_every_command_answers_a_mistake_so(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert error_of([*name.split(), "--no-such-option", "--json"], capsys)["field"] == "--no-such-option"


def test_a_failed_proof_prints_its_figures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object is promised: where the result is printed already, the error's is not."""
    artifact = run_folder(tmp_path)
    failed = msgspec.structs.replace(good_proof(), sha256_match=False)
    stub(monkeypatch, "predict.proof", prove=lambda *a, **k: failed)
    command = ["prove", str(artifact), "--data", str(tmp_path / "data"), "--json"]
    assert main(command) == 1
    assert json.loads(capsys.readouterr().out)["proof"]["sha256_match"] is False

    def fails(*a: object, **k: object) -> None:
        raise ProofError("it is not so.")

    stub(monkeypatch, "predict.proof", prove=fails)
    assert error_of(command, capsys, code=1)["error"] == "it is not so."


def test_without_json_nothing_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no/file"]) == 2
    assert capsys.readouterr().out == ""

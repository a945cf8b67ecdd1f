"""What a person types on the first day and nobody means: empty paths, other people's folders, places without room."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.test_cli import error_line

import regrow
from regrow.artifact.load_cache import ArrayCache
from regrow.cli import main
from regrow.cli.app import COMMANDS
from regrow.core.config.sizing import fit_config
from regrow.core.errors import BudgetError, ConfigError, DataError
from regrow.core.quantities import parse_bytes
from regrow.core.run_folder import ARTIFACT, RESULT
from regrow.data.readers import read_texts
from regrow.data.tokenizer import Tokenizer
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.training.packing import bytes_for_memory

TEXT = "".join(f"The {i}th of the people, and what they say of the year {i % 7}.\n" for i in range(600))
LONG = ["train.seq_len=131072", "train.batch_tokens=131072", "model.window=0"]
SMALL = ("--quiet", "--set", "data.vocab_size=280")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_argument_is_never_the_current_folder(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`regrow fit "$UNSET"` would train on whatever lies here, `--out ""` write into it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(TEXT)
    for arguments in (["", "a.txt"], ["a.txt", ""], ["a.txt", "--out", ""], ["a.txt", "--out="]):
        assert main([*name.split(), *arguments]) == 2
        assert "is empty, as an unset variable" in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_text_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    for prompt in (["--prompt", ""], ["--prompt="]):
        assert main(["sample", "nothing.safetensors", *prompt]) == 2
        assert "there is no such file" in error_line(capsys)


def test_an_argument_given_twice_is_not_an_empty_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "nothing", "nothing"]) == 2
    assert "is no folder" in error_line(capsys)


def test_the_data_of_another_source_is_replaced_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(TEXT)
    out = tmp_path / "data"
    build = ["--out", str(out), *SMALL]
    assert main(["data", str(tmp_path / "a.txt"), *build]) == 0
    assert main(["data", str(tmp_path / "a.txt"), *build]) == 0, "its own source makes it anew"
    kept = (out / "data.json").read_bytes()
    capsys.readouterr()
    assert main(["data", str(tmp_path / "b.txt"), *build]) == 2
    assert "holds the data of a.txt; give -f to replace it" in error_line(capsys)
    assert (out / "data.json").read_bytes() == kept
    assert main(["data", str(tmp_path / "b.txt"), *build, "-f"]) == 0
    assert (out / "data.json").read_bytes() != kept


@pytest.mark.parametrize("command", ["eval", "prove"])
def test_figures_that_could_not_be_kept_are_told_before_the_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result.json that leads into a place that does not take files."""
    (tmp_path / ARTIFACT).write_bytes(b"read later")
    (tmp_path / RESULT).symlink_to("/proc/version")
    assert main([command, str(tmp_path), "--data", str(tmp_path / ARTIFACT)]) == 2
    assert "cannot be written" in error_line(capsys)


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (["-o", "t.txt"], "a table is written as .csv, .json or .html"),
        (["-o", "t.csv", "--sarif", "./t.csv"], "is given for two outputs"),
        (["-o", "t.csv", "-o", "t.csv"], "is given for two outputs"),
        (["--sarif", "-"], "--json prints the findings on standard output"),
    ],
)
def test_outputs_of_an_audit_that_make_no_sense_are_told_first(
    outputs: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.py").write_text("print('val_bpb:1.2')\n")
    monkeypatch.setattr("regrow.challenge.audit.one.audit_one", None)  # nothing is audited
    assert main(["audit", "s.py", *outputs]) == 2
    assert sentence in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["s.py"]


def test_options_that_would_not_matter_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "sotu", "--as", "lines", "--out", str(tmp_path / "d")]) == 2
    assert "--as and --text-field are for texts" in error_line(capsys)
    assert main(["config", "list", "demo"]) == 2
    assert "takes nothing more" in error_line(capsys)


def test_a_cache_that_cannot_be_written_gives_the_reason_alone() -> None:
    import numpy as np

    assert ArrayCache(Path("/dev/null/regrow")).keep({"a": np.zeros(3)}, "key") == "not a directory"


def test_a_parquet_file_that_is_not_there_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory"):
        list(read_texts(tmp_path / "a.parquet", "line"))


@pytest.mark.parametrize("kind", ["--words", "--bpe", "--chars"])
def test_a_text_of_one_letter_gives_a_model_or_a_sentence(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With fewer n-grams than orders asked for; and what is made can score."""
    (tmp_path / "a.txt").write_bytes(b"x")
    model = str(tmp_path / "m")
    code = main(["ngram", "build", str(tmp_path / "a.txt"), "-o", model, kind, "--order", "9", "-q"])
    if kind == "--bpe":
        assert code == 2 and "too small" in error_line(capsys)
    else:
        assert code == 0
        assert main(["score", model, str(tmp_path / "a.txt"), "-q"]) == 0


def test_a_budget_below_the_tokenizer_is_told_before_the_search(tmp_path: Path) -> None:
    from regrow.artifact.memory_artifact import build_memory_artifact
    from regrow.data.documents import Texts

    texts = Texts.of([TEXT.encode()])
    with pytest.raises(BudgetError, match="tokenizer and manifest alone may take"):
        build_memory_artifact(tmp_path / "m", texts, order=4, vocab_size=257, budget_bytes=1)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: regrow.train("demo", "d", "r"), "config: is 'demo', no Config"),  # type: ignore[arg-type]
        (lambda: regrow.load_preset("demo", "train.seed=2"), r"give a list, such as \['train.seed=2'\]"),
        (lambda: regrow.load_preset("demo", ["data.vocab_size=300\nx = 1"]), "data.vocab_size is '300"),
        (lambda: regrow.load_preset("demo", LONG), "train.seq_len is 131072 tokens, choose 1 to"),
    ],
)
def test_what_is_no_config_is_told_by_its_name(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        call()


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "a", "--data", "d", "--stride", f"{10**20}"],
        ["sample", "a", "--seed", f"{10**23}"],
        ["sample", "a", "--tokens", f"{10**20}"],
        ["prove", "--model", "hf:a", "--data", "d", "--streams", f"{10**20}"],
        ["data", "fineweb", "--out", "d", "--train-shards", f"{10**20}"],
        ["records", "decompress", "a", "f", "-o", "o", "--record", f"{10**20}"],
        ["config", "show", "demo", "--set", f"train.seed={10**23}"],
        ["config", "show", "demo", "--set", f"train.max_steps={10**23}"],
    ],
)
def test_numbers_beyond_all_use_are_refused_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened: none of these files is there."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    line = error_line(capsys)
    assert arguments[-2] in line and "no such file" not in line, line


@pytest.mark.parametrize("figure", ["nan", "inf", "-1", "0"])
def test_a_baseline_that_cannot_be_is_refused(
    figure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A p-value of NaN would stand in submission.json, which is then no JSON."""
    assert main(["submit", str(tmp_path), "--out", str(tmp_path / "out"), "--baseline", figure]) == 2
    assert "is no figure in bits per byte" in error_line(capsys)


def test_a_config_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "c.toml")
    assert main(["config", "check", str(tmp_path / "c.toml")]) == 2
    assert "is a FIFO; write the config to a file first" in error_line(capsys)
    for command in (["inspect"], ["sample"], ["eval", "--data", "d"], ["decompress"], ["score"]):
        assert (
            main([command[0], str(tmp_path / "c.toml"), *command[1:], *["f"] * (command == ["score"])]) == 2
        )
        assert "c.toml: is a FIFO" in error_line(capsys)
    assert main(["eval", "artifact", "--data", str(tmp_path / "c.toml")]) == 2
    assert "c.toml: is a FIFO" in error_line(capsys)


def test_fit_advises_a_budget_in_its_own_words_that_will_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    assert main(["fit", str(tmp_path / "a.txt"), "-o", str(tmp_path / "m"), "-q", "--budget", "1"]) == 2
    line = error_line(capsys)
    advised = re.search(r"give at least --budget (\d+kB)\.$", line)
    assert advised and "pack." not in line, line
    config = fit_config(len(TEXT), parse_bytes(advised[1], "--budget"), 600)
    tokenizer = Tokenizer.train([TEXT.encode()], config.data.vocab_size)
    network = Transformer(config.model, tokenizer.vocab_size, 64, 1)
    for parameter in network.parameters():  # as hard to store as weights can be
        torch.nn.init.uniform_(parameter.data)
    data: Any = SimpleNamespace(tokenizer=tokenizer)
    assert bytes_for_memory(config, network, Mixer(config.mixer, torch.Generator()), data) > 1000

"""`regrow sample`: how tokens are chosen, and text that is printed while it is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.cli import main


@pytest.fixture
def sample(small_artifact: Path, capsys: pytest.CaptureFixture[str]):
    def run(*options: str) -> str:
        arguments = [
            "sample",
            str(small_artifact),
            "--prompt",
            "the é",
            "--tokens",
            "30",
            "--no-cache",
            *options,
        ]
        assert main([*arguments, "--quiet"]) == 0
        return capsys.readouterr().out

    return run


def test_the_likeliest_tokens_need_no_luck(sample) -> None:
    likeliest = sample("--temperature", "0", "--seed", "1")
    assert (
        likeliest == sample("--temperature", "0", "--seed", "2") == sample("--top-p", "1e-9", "--seed", "3")
    )
    assert sample("--seed", "1") == sample("--seed", "1") != sample("--seed", "2")


def test_streamed_text_is_the_same_text(sample) -> None:
    for seed in "123":  # at this temperature letters are drawn as single bytes, and some are cut
        settings = ("--temperature", "4", "--seed", seed)
        assert sample(*settings, "--stream") == sample(*settings)
        assert json.loads(sample(*settings, "--json"))["prompt"] == "the é"


def test_the_page_s_sample_is_what_the_command_draws_unasked(
    small_artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from regrow.predict.sampling import sample_text

    assert main(["sample", str(small_artifact), "--no-cache", "--quiet"]) == 0
    assert sample_text(small_artifact) + "\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--temperature", "-1"], "choose a temperature of 0 or more"),
        (["--top-p", "0"], "a top_p above 0 and at most 1"),
        (["--stream", "--json"], "--stream and --json: "),
    ],
)
def test_settings_that_cannot_be_are_refused(
    small_artifact: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["sample", str(small_artifact), "--no-cache", *options]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("regrow: error: ") and says in told[-1]

"""Submissions: three seeds' runs become a record folder whose script stands alone, or every broken rule is named."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.conftest import run_json, run_regrow, tiny_settings
from tests.e2e.forks import fork_server

from regrow.challenge.submit.bundle import bundle
from regrow.core.config.load import config_toml, load_config

ROOT = Path(__file__).parents[2]

# Python imports a module of this name at its start, in child processes too: it hides packages that are installed.
HIDE = """
import importlib.machinery, sys
hidden = {hidden}
usual = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    if path is None and name.partition(".")[0] in hidden:
        path = [p for p in sys.path if "site-packages" not in p and not p.endswith("/src")]
    return usual(name, path, target)
importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
"""


def alone(place: Path, script: Path, *hidden: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `script` in an empty folder of `place` where regrow and `hidden` cannot be imported."""
    (place / "hide").mkdir()
    (place / "hide" / "sitecustomize.py").write_text(HIDE.format(hidden={"regrow", *hidden}))
    (place / "empty").mkdir()
    shutil.copy(script, place / "empty")
    environment = {**os.environ, "PYTHONPATH": str(place / "hide")}

    def python(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], env=environment, cwd=place / "empty", capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip

    assert "No module named 'regrow'" in python("-c", "import regrow").stderr
    return python


@pytest.fixture(scope="module")
def seeds(data: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of one config, evaluated and proven."""
    folder = tmp_path_factory.mktemp("seeds")
    runs = [Path(shutil.copytree(run, folder / "1"))]
    for seed in (2, 3):
        runs.append(folder / str(seed))
        settings = [*tiny_settings(), "--set", f"train.seed={seed}"]
        settings += ["--set", "train.log_lines=official"] if seed == 3 else []
        assert run_regrow("train", "--data", data, "--out", runs[-1], *settings).returncode == 0
    for made in runs:
        for command in ("eval", "prove"):
            done = run_regrow(command, made / "artifact.safetensors", "--data", data)
            assert done.returncode == 0, done.stderr
    return runs


@pytest.fixture(scope="module")
def submission(seeds: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record folder of the three; the sources are packed once for all submissions here."""
    fork_server().prepare("regrow.challenge.submit.bundle:packed_sources")
    out = tmp_path_factory.mktemp("submission") / "record"
    done = run_regrow("submit", *seeds, "--out", out, "--author", "A. Nonymous", "--baseline", "6.5")
    assert done.returncode == 0, done.stderr
    return out


def test_a_record_folder_holds_what_the_challenge_asks_for(submission: Path, seeds: list[Path]) -> None:
    """The files, the keys, the mean and deviation of the seeds, and bytes that are those of the files."""
    assert sorted(p.name for p in submission.iterdir()) == [
        "README.md", "requirements.txt", "submission.json", "train_gpt.py", "train_seed1.log", "train_seed2.log",
        "train_seed3.log",
    ]  # fmt: skip
    claims = json.loads((submission / "submission.json").read_text())
    required = "author github_id name blurb date val_loss val_bpb bytes_total bytes_code".split()
    assert set(required) <= claims.keys()
    results = [json.loads((run / "result.json").read_text()) for run in seeds]
    figures = [r["bpb"]["blended"] for r in results]
    assert claims["val_bpb"] == pytest.approx(statistics.fmean(figures), abs=1e-12)
    assert claims["val_bpb_std"] == pytest.approx(statistics.stdev(figures), abs=1e-12)
    assert claims["bytes_code"] == (submission / "train_gpt.py").stat().st_size
    largest = max((run / "artifact.safetensors").stat().st_size for run in seeds)
    assert claims["bytes_total"] == claims["bytes_code"] + largest
    text = results[0]["data"]
    bytes_a_token = claims["val_loss"] / math.log(2) / claims["val_bpb"]
    assert bytes_a_token == pytest.approx(text["val_bytes"] / text["val_tokens"])
    readme = (submission / "README.md").read_text()
    assert "not the challenge's validation text" in readme.replace("\n", " ")


def test_the_log_while_training_has_the_words_of_the_log_in_the_folder(
    submission: Path, seeds: list[Path]
) -> None:
    """`train.log_lines = official` writes head and steps as they come; the others write no such log."""
    assert not (seeds[1] / "train.log").exists()
    lines = (seeds[2] / "train.log").read_text().splitlines()
    assert lines == (submission / "train_seed3.log").read_text().splitlines()[: len(lines)] and len(lines) > 6


def test_the_p_value_is_that_of_a_one_sided_t_test(submission: Path) -> None:
    """Worked out by the closed form for two degrees of freedom: P(T > t) = (1 - t / sqrt(t^2 + 2)) / 2."""
    claims = json.loads((submission / "submission.json").read_text())
    step = 0.005 * claims["val_bpb"] / claims["val_loss"]
    t = (6.5 - step - claims["val_bpb"]) / (claims["val_bpb_std"] / math.sqrt(3))
    assert claims["p_value"] == pytest.approx((1 - t / math.sqrt(t * t + 2)) / 2, rel=1e-9)


def test_the_audit_finds_nothing(submission: Path) -> None:
    """Our own audit passes it, recomputes its headline from the logs, and sees through the packed source."""
    told = run_json("audit", submission)
    assert told["verdict"] == "clean", told["findings"]
    assert told["account"]["headline"]["bpb"] == pytest.approx(
        json.loads((submission / "submission.json").read_text())["val_bpb"]
    )


@pytest.mark.long
def test_the_script_alone_reproduces_training_and_score(
    submission: Path, seeds: list[Path], data: Path, tmp_path: Path
) -> None:
    """In an empty folder, a fresh process, with nothing of regrow's to be imported but what requirements.txt names: the
    same artifact to the byte, the same figure, and a proof by the script's own decoder."""
    required = {
        re.split("[=]=", line)[0] for line in (submission / "requirements.txt").read_text().splitlines()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    others = {re.split(r"[<>=~\[]", line)[0] for line in wanted} - {
        name.replace("_", "-") for name in required
    }
    assert {"typer", "rich", "pyarrow", "matplotlib"} <= others
    python = alone(tmp_path, submission / "train_gpt.py", *(name.replace("-", "_") for name in others))
    place = tmp_path / "empty"
    done = python("train_gpt.py", "--data", data, "--seed", 2, "--out", "run", "--prove")
    assert done.returncode == 0, done.stderr
    whole = (seeds[1] / "artifact.safetensors").read_bytes()
    assert (place / "run" / "artifact.safetensors").read_bytes() == whole
    wanted = json.loads((seeds[1] / "result.json").read_text())
    assert f"val_bpb:{wanted['bpb']['blended']:.8f}" in done.stdout
    assert f"proven_bpb:{wanted['proof']['bpb']:.8f}" in done.stdout
    assert "sha256_match:True" in done.stdout

    # All lines but the times are those of the log in the record folder.
    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if "time:" not in line and "memory_count" not in line]

    assert lines(done.stdout) == lines((submission / "train_seed2.log").read_text())


def test_a_missing_requirement_is_named_with_the_command_that_installs_it(
    submission: Path, tmp_path: Path
) -> None:
    """One sentence, exit code 2, before anything is unpacked; the version is that of requirements.txt."""
    python = alone(tmp_path, submission / "train_gpt.py", "numba", "msgspec")
    done = python("train_gpt.py", "--data", "x")
    needs = [
        n for n in (submission / "requirements.txt").read_text().split() if n.startswith(("msg", "numba"))
    ]
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"pip install {' '.join(needs)}\n") and len(needs) == 2


def test_the_sources_can_be_read(submission: Path, tmp_path: Path) -> None:
    """Unpacked, they are the modules with their comments."""
    command = [sys.executable, "-I", str(submission / "train_gpt.py"), "unpack", str(tmp_path / "s")]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    import regrow

    for name in ("training/trainer.py", "predict/codec.py", "data/shards/conversion.py"):
        original = Path(regrow.__file__).parent / name
        assert (tmp_path / "s" / "regrow" / name).read_text() == original.read_text()


def test_one_run_makes_no_p_value(seeds: list[Path], tmp_path: Path) -> None:
    """A deviation and a test need two."""
    made = run_json("submit", seeds[0], "--out", tmp_path / "one", "--baseline", "7")
    assert made["p_value"] is None and made["val_bpb_std"] is None
    assert "no p-value" in (tmp_path / "one" / "README.md").read_text()


def test_every_broken_rule_is_named_and_nothing_is_written(
    seeds: list[Path], data: Path, tmp_path: Path
) -> None:
    """A seed twice, another config, no proof, other data, too many bytes: one sentence with all of it, exit code 1."""

    def refused(*runs: Path, extra: tuple[str, ...] = (), code: int = 1) -> str:
        done = run_regrow("submit", *runs, "--out", tmp_path / "out", *extra)
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return done.stderr

    def changed(name: str, changes: dict[str, object]) -> Path:
        copy = Path(shutil.copytree(seeds[1], tmp_path / name))
        result = json.loads((copy / "result.json").read_text())
        for key, value in changes.items():
            part, _, inner = key.partition(".")
            if inner:
                result[part][inner] = value
            else:
                result[part] = value
        (copy / "result.json").write_text(json.dumps(result))
        return copy

    assert "seed 1 is there 2 times" in refused(seeds[0], seeds[0])
    other = Path(shutil.copytree(seeds[1], tmp_path / "other"))
    text = (other / "config.toml").read_text()
    (other / "config.toml").write_text(text.replace("warmup_steps = 10", "warmup_steps = 11"))
    assert "another config than" in (said := refused(seeds[0], other)) and "(train.warmup_steps)" in said
    unproven = changed("unproven", {"proof": None, "bpb.blended": None})
    assert "is not evaluated" in (said := refused(seeds[0], unproven)) and "is not proven" in said
    assert "other data" in refused(seeds[0], changed("data", {"data.train_tokens": 5}))
    assert "failed or is of another text" in refused(changed("failed", {"proof.sha256_match": False}))
    assert "proven at" in refused(changed("apart", {"bpb.blended": 2.0}))
    slow = changed("slow", {"seconds.train": 700.0, "seconds.memory_count": 100.0})
    assert "training of" in (said := refused(slow, extra=("--track", "record"))) and "800 s of 600" in said
    assert "has no artifact.safetensors" in refused(data, code=2)


def test_too_many_bytes_are_refused_with_the_budget_that_would_do(
    seeds: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Code and model together; a run trained with the budget that the sentence names leaves room for the code."""
    from regrow.challenge.submit import rules
    from regrow.challenge.submit.record import submit
    from regrow.core.errors import RuleError

    artifact = (seeds[0] / "artifact.safetensors").stat().st_size
    made = submit(seeds[:1], tmp_path / "fits")
    assert made.artifact_budget == 16_000_000 - made.claims["bytes_code"]
    limit = made.claims["bytes_code"] + artifact - 1
    monkeypatch.setattr(rules, "LIMIT_BYTES", limit)
    with pytest.raises(
        RuleError, match=rf"1 over {limit:,}; train with pack\.budget_bytes=\d+\.$"
    ) as refused:
        submit(seeds[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    budget = int(str(refused.value).rpartition("=")[2].rstrip("."))
    assert 0 <= artifact - 1 - budget < 1000
    text = (seeds[0] / "config.toml").read_text()
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "config.toml").write_text(text.replace("400000", str(budget)))
    changed = config_toml(load_config(tmp_path / "again" / "config.toml"))
    assert budget + bundle(changed, "A title.").code_bytes <= limit

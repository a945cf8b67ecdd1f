"""A run's folder: one process at a time, files of one run only, a finished run stays until another has finished."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.core import run_folder
from regrow.core.errors import ConfigError, EnvironmentProblem
from regrow.core.run_folder import locked, run_ids, settle, take_place, with_run_id, working_folder

NAMES = ("artifact.safetensors", "config.toml", "log.jsonl", "result.json")


def put_run(folder: Path, run: str, *others: str) -> None:
    """A run's files, which all tell its id."""
    for name in (*NAMES, *others):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run": run}) + "\n")
    (folder / "config.toml").write_text(with_run_id(run, "[train]\n"))


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_locked_for_others_and_free_again_afterwards(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with locked(out), pytest.raises(EnvironmentProblem, match="another process is training"), locked(out):
        pass
    with locked(out):
        assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EnvironmentProblem, match=r"file/run: cannot be written"),
        locked(tmp_path / "file/run"),
    ):
        pass


def test_a_run_works_elsewhere_while_a_finished_one_stands(tmp_path: Path) -> None:
    assert working_folder(tmp_path, resume=False, overwrite=False) == tmp_path
    put_run(tmp_path, "old")
    with pytest.raises(ConfigError, match="--overwrite"):
        working_folder(tmp_path, resume=False, overwrite=False)
    work = working_folder(tmp_path, resume=False, overwrite=True)
    assert work == tmp_path / "unfinished"
    with pytest.raises(ConfigError, match="--overwrite"):
        working_folder(tmp_path, resume=True, overwrite=False)
    put_run(work, "new", "checkpoint/step-00000001.safetensors")
    (work / "result.json").unlink()
    assert working_folder(tmp_path, resume=True, overwrite=False) == work
    assert set(run_ids(tmp_path).values()) == {"old"}


def test_a_finished_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Nothing of the old one stays, whatever only it had; what is no run's stays."""
    put_run(tmp_path, "old", "tensorboard/a", "train.log", "excerpt.json", "report.html", "data/val.txt")
    work = working_folder(tmp_path, resume=False, overwrite=True)
    put_run(work, "new", "tensorboard/b")
    take_place(work, tmp_path)
    left = contents(tmp_path)
    assert set(left) == {*NAMES, "tensorboard/b", "data/val.txt"}
    assert run_ids(tmp_path) == {"config.toml": "new", "log.jsonl": "new", "result.json": "new"}


@pytest.mark.parametrize("moves", range(6))
def test_a_run_killed_while_it_takes_its_place_does_so_at_the_next_start(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(tmp_path, "old", "tensorboard/a", "train.log")
    work = working_folder(tmp_path, resume=False, overwrite=True)
    put_run(work, "new", "tensorboard/b", "checkpoint/c")
    done = [0]

    class Killed(BaseException):
        """Stands for SIGKILL."""

    inner = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if done[0] == moves:
            raise Killed
        done[0] += 1
        return inner(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(Killed):
        take_place(work, tmp_path)
    monkeypatch.undo()
    settle(tmp_path)
    assert set(contents(tmp_path)) == {*NAMES, "tensorboard/b", "checkpoint/c"}
    assert set(run_ids(tmp_path).values()) == {"new"}


def test_files_without_an_id_are_left_out(tmp_path: Path) -> None:
    assert run_ids(tmp_path) == {}
    (tmp_path / "config.toml").write_text("[train]\n")
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "result.json").write_text("not JSON")
    assert run_ids(tmp_path) == {}
    assert run_folder.new_run_id() != run_folder.new_run_id()

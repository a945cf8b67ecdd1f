"""Folders and repositories of the Hugging Face hub. The hub is a folder laid out as the library lays out its cache,
which the real loading code reads offline; what would be sent to the hub is caught at the library's client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrow.artifact.artifact import Artifact
from regrow.artifact.hub import artifact_file
from regrow.core.errors import ArtifactError, DataError, EnvironmentProblem
from regrow.core.results import Bpb, DataFigures, Proof, Result, Seconds

hub = pytest.importorskip("huggingface_hub")

PROOF = {
    "stream_bytes": 100, "raw_bytes": 800, "sha256_match": True, "max_abs_row_sum_error": 0.0, "encode_seconds": 1.0,
    "decode_seconds": 1.0,
}  # fmt: skip


def result_of(artifact: Artifact, **changes: Any) -> Result:
    figures = {
        "preset": "demo", "seed": artifact.stored.seed, "device": "cpu", "threads": 2, "world_size": 1, "torch": "2",
        "data": DataFigures('a "named" text', 9000, 3000, 800, 300, "ab" * 32),
        "bytes": artifact.ledger.parts() | {"total": artifact.ledger.total, "budget": 400_000},
        "bpb": Bpb(blended=1.25, neural=1.5), "proof": Proof(bpb=1.0, **PROOF),
        "proof_adaptive": Proof(bpb=0.875, **PROOF, track="adaptive"), "seconds": Seconds(train=12.0),
        "steps": 24, "train_tokens_seen": 5000,
    }  # fmt: skip
    return Result(**figures | changes)


@pytest.fixture
def run(small_artifact: Path, tmp_path: Path) -> Path:
    """A run's folder with an artifact and its figures."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(small_artifact, folder)
    result_of(Artifact.load(small_artifact)).save(folder / "result.json")
    return folder


def test_a_folder_that_was_saved_is_loaded_again(run: Path, tmp_path: Path) -> None:
    artifact = Artifact.from_pretrained(run)
    artifact.save_pretrained(tmp_path / "saved")
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "README.md", "artifact.safetensors", "result.json",
    ]  # fmt: skip
    assert Artifact.from_pretrained(tmp_path / "saved").sha256 == artifact.sha256
    artifact.save_pretrained(tmp_path / "saved")  # the same again is fine


def test_the_card_is_one_the_hub_reads_and_has_the_figures(run: Path, tmp_path: Path) -> None:
    artifact = Artifact.from_pretrained(run)
    artifact.save_pretrained(tmp_path / "saved")
    card = hub.ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.library_name == "regrow" and card.data.pipeline_tag == "text-generation"
    found = {r.metric_name: r.metric_value for r in card.data.eval_results}
    assert found == {
        "bits per byte, proven by decoding": 1.0,
        "bits per byte, proven by decoding (adaptive)": 0.875,
        "bits per byte, mixture": 1.25,
        "bits per byte, network alone": 1.5,
    }
    assert {r.dataset_name for r in card.data.eval_results} == {'a "named" text'}
    for told in (
        "| mixture | 1.2500 |",
        artifact.sha256,
        "24 steps",
        f"| total | {artifact.ledger.total:,} |",
    ):
        assert told in card.text


def test_figures_of_another_artifact_are_left_out(run: Path, tmp_path: Path) -> None:
    artifact = Artifact.from_pretrained(run)
    for number, changes in enumerate(({"seed": 8}, {"bytes": None})):
        result_of(artifact, **changes).save(run / "result.json")
        artifact.save_pretrained(tmp_path / str(number))
        assert not (tmp_path / str(number) / "result.json").exists()
        assert "Figures" not in (tmp_path / str(number) / "README.md").read_text()


def test_nothing_of_others_is_overwritten(run: Path, tmp_path: Path) -> None:
    artifact = Artifact.from_pretrained(run)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("my own words")
    with pytest.raises(DataError, match=r"README\.md: is there already"):
        artifact.save_pretrained(tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["README.md"]
    (run / "artifact.safetensors").write_bytes(b"another")
    with pytest.raises(ArtifactError, match="has changed since it was loaded"):
        artifact.save_pretrained(tmp_path / "elsewhere")


def test_a_folder_without_an_artifact_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no artifact\.safetensors"):
        Artifact.from_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match="there is no such file"):
        Artifact.from_pretrained(tmp_path / "nothing" / "here" / "it.safetensors")


def cached(place: Path, repository: str, file: Path) -> None:
    """`file` in a cache laid out as huggingface_hub lays it out."""
    folder = place / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c" * 40)
    shutil.copy(file, snapshot / "artifact.safetensors")


def test_a_repository_is_read_by_the_library_itself(run: Path, tmp_path: Path) -> None:
    """In a process of its own, since the library reads its settings when it is imported."""
    cached(tmp_path / "hub", "someone/small", run / "artifact.safetensors")
    code = (
        "from regrow.artifact.hub import artifact_file\nfrom regrow.core.errors import EnvironmentProblem\n"
        "print(artifact_file('someone/small'))\n"
        "try:\n    artifact_file('someone/else')\nexcept EnvironmentProblem as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, refused = done.stdout.splitlines()
    assert Artifact.load(found).sha256 == Artifact.from_pretrained(run).sha256
    assert refused.startswith("someone/else: artifact.safetensors cannot be fetched (")


class Client:
    """What the library's client would be asked, caught."""

    has_card = False
    asked: list[Any]

    def __init__(self, token: Any = None) -> None:
        type(self).asked = [token]

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        self.asked.append(("create_repo", repo_id, options))
        return SimpleNamespace(repo_id=repo_id)

    def file_exists(self, repo_id: str, filename: str) -> bool:
        return self.has_card

    def upload_folder(self, **options: Any) -> Any:
        files = {p.name: p.read_bytes() for p in Path(options.pop("folder_path")).iterdir()}
        self.asked.append(("upload_folder", files, options))
        return SimpleNamespace(commit_url="the address")


@pytest.mark.parametrize("has_card", [False, True])
def test_pushing_is_one_commit_of_the_same_files(
    run: Path, monkeypatch: pytest.MonkeyPatch, has_card: bool
) -> None:
    monkeypatch.setattr(hub, "HfApi", Client)
    monkeypatch.setattr(Client, "has_card", has_card)
    artifact = Artifact.from_pretrained(run)
    assert artifact.push_to_hub("someone/small", private=True, token="secret") == "the address"
    token, made, (_, files, options) = Client.asked
    assert token == "secret" and made == ("create_repo", "someone/small", {"private": True, "exist_ok": True})
    assert options["repo_id"] == "someone/small" and options["ignore_patterns"] == (
        ["README.md"] if has_card else None
    )
    assert files["artifact.safetensors"] == (run / "artifact.safetensors").read_bytes()
    assert files["result.json"] == (run / "result.json").read_bytes()
    assert b'from_pretrained("someone/small")' in files["README.md"]


def test_a_hub_that_refuses_is_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("401 Client Error\n\nof two lines")

    monkeypatch.setattr(hub.HfApi, "create_repo", refuse)
    with pytest.raises(
        EnvironmentProblem, match=r"cannot be written \(401 Client Error of two lines\); check"
    ):
        Artifact.from_pretrained(run).push_to_hub("someone/small")


def test_a_file_is_its_own_place(small_artifact: Path) -> None:
    assert artifact_file(small_artifact) == small_artifact

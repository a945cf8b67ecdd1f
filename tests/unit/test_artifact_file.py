"""The container: one content, one file; the safetensors library agrees; errors say what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from regrow.artifact.container import ArtifactFile, read_artifact, write_artifact
from regrow.core.errors import ArtifactError, EnvironmentProblem
from regrow.core.files import sha256_hex

PAYLOADS = {"tokenizer": b"pieces", "weights": bytes(range(256)), "memory": b"", "mixer": b"gate"}
MANIFEST: dict[str, Any] = {"seed": 3, "config": {"é": 'ü"\\ \n\x7f', "lr": 0.02}, "bases": {}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "artifact.safetensors"
    write_artifact(target, PAYLOADS, MANIFEST)
    return target


def test_what_was_written_is_read(path: Path) -> None:
    file = read_artifact(path)
    assert file.payloads == PAYLOADS
    assert {key: file.manifest[key] for key in MANIFEST} == MANIFEST
    assert (file.size, file.sha256) == (path.stat().st_size, sha256_hex(path.read_bytes()))


def test_the_manifest_holds_the_format_and_the_hash_of_every_payload(path: Path) -> None:
    manifest = read_artifact(path).manifest
    assert (manifest["format"], manifest["format_version"]) == ("regrow", 2)
    assert {name: manifest["sha256"][name] for name in PAYLOADS} == {
        name: sha256_hex(data) for name, data in PAYLOADS.items()
    }


def test_the_order_of_keys_does_not_reach_the_file(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_artifact(
        other, dict(reversed(list(PAYLOADS.items()))), {"bases": {}, **dict(reversed(list(MANIFEST.items())))}
    )
    assert other.read_bytes() == path.read_bytes()


def test_the_safetensors_library_reads_the_file_and_would_write_the_same_bytes(path: Path) -> None:
    """The container stays what it says it is, although its header is written here."""
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata().keys() == {"manifest"}
        assert {name: file.get_tensor(name).tobytes() for name in file.keys()} == PAYLOADS  # noqa: SIM118
        manifest = file.metadata()["manifest"]
    tensors = {name: np.frombuffer(data, np.uint8) for name, data in PAYLOADS.items()}
    assert safetensors.numpy.save(tensors, {"manifest": manifest}) == path.read_bytes()


def test_the_manifest_is_canonical_json(path: Path) -> None:
    with safetensors.safe_open(path, "numpy") as file:
        text = file.metadata()["manifest"]
    assert text.isascii() and text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def test_payloads_begin_at_a_multiple_of_eight(path: Path, tmp_path: Path) -> None:
    for length in range(8):
        write_artifact(tmp_path / "x", PAYLOADS, {"pad": "x" * length})
        data = (tmp_path / "x").read_bytes()
        assert int.from_bytes(data[:8], "little") % 8 == 0
        assert read_artifact(tmp_path / "x").payloads == PAYLOADS


def test_a_dry_run_gives_the_size_and_writes_nothing(path: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert write_artifact(absent, PAYLOADS, MANIFEST, dry_run=True) == path.stat().st_size
    assert not absent.exists()
    assert write_artifact(path, PAYLOADS, MANIFEST) == path.stat().st_size


def test_a_failed_write_leaves_the_old_artifact(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match="no space left"):
        write_artifact(path, {**PAYLOADS, "mixer": b"new"}, MANIFEST)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("payloads", "manifest"),
    [
        ({"weights": b""}, {}),
        ({**PAYLOADS, "extra": b""}, {}),
        (PAYLOADS, {"format": "other"}),
        (PAYLOADS, {"sha256": {}}),
        (PAYLOADS, {"loss": float("nan")}),
    ],
)
def test_a_callers_mistake_is_refused_before_anything_is_written(
    payloads: dict[str, bytes], manifest: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError):
        write_artifact(tmp_path / "x", payloads, manifest)
    assert not list(tmp_path.iterdir())


def test_a_manifest_that_no_reader_would_accept_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="manifest is above 1,048,576 bytes"):
        write_artifact(tmp_path / "x", PAYLOADS, {"table": "x" * (1 << 20)})
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_or_is_a_folder_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"absent: cannot be read \(no such file"):
        read_artifact(tmp_path / "absent")
    with pytest.raises(ArtifactError, match=r"cannot be read \(is a directory"):
        read_artifact(tmp_path)


def test_every_error_is_one_sentence_that_names_the_file(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(ArtifactError) as caught:
        read_artifact(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.endswith(".") and "\n" not in message


def test_the_value_is_frozen(path: Path) -> None:
    file = read_artifact(path)
    assert isinstance(file, ArtifactFile)
    with pytest.raises(AttributeError):
        file.size = 3  # type: ignore[misc]

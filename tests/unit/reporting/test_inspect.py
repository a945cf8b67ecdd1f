"""`regrow inspect`: every byte has an owner, every hash can be made again, and the memory is left asleep."""

from __future__ import annotations

from pathlib import Path

import pytest

from regrow.artifact.container import read_artifact, write_artifact
from regrow.core.config.schema import Config
from regrow.core.errors import ArtifactError
from regrow.core.files import sha256_hex
from regrow.network.bases import base_sha256, seeded_orthogonal
from regrow.network.hadamard import derive_seed
from regrow.ngram.model.ngram_model import NgramModel
from regrow.report.inspect import describe


def test_every_byte_of_the_file_has_an_owner(small_artifact: Path) -> None:
    found = describe(small_artifact)
    assert sum(found["ledger"].values()) == found["total"] == small_artifact.stat().st_size
    assert found["ledger"]["base"] == 0 and found["ledger"]["adapters"] > 0
    assert found["budget"] == 4_000_000
    assert found["sha256"] == sha256_hex(small_artifact.read_bytes()) and found["counts_sha256"] == "c" * 64


def test_the_payloads_are_those_of_the_file(small_artifact: Path) -> None:
    payloads = read_artifact(small_artifact).payloads
    expected = {name: {"bytes": len(p), "sha256": sha256_hex(p)} for name, p in payloads.items()}
    assert describe(small_artifact)["payloads"] == expected


def test_the_seeds_make_the_bases_whose_hashes_are_given(small_artifact: Path) -> None:
    found = describe(small_artifact)
    assert found["seeds"]["root"] == 7
    assert found["seeds"]["blocks.1.up"] == derive_seed(7, "layers.1.up")
    assert set(found["bases"]) == {f"blocks.{layer}.{name}" for layer in (0, 1) for name in ("up", "down")}
    for name, base in found["bases"].items():
        rows, cols = map(int, base["shape"].split(" x "))
        assert base["sha256"] == base_sha256(seeded_orthogonal(found["seeds"][name], rows, cols))
        assert base["bytes_if_stored"] == 4 * rows * cols


def test_the_config_is_the_one_it_was_made_with(small_artifact: Path, small_config: Config) -> None:
    import msgspec

    assert describe(small_artifact)["config"] == msgspec.to_builtins(small_config)


def test_the_memory_is_not_regrown(small_artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NgramModel, "from_counts", lambda *_: pytest.fail("the memory was regrown"))
    describe(small_artifact)


def test_a_damaged_missing_or_foreign_file_is_one_sentence(small_artifact: Path, tmp_path: Path) -> None:
    whole = small_artifact.read_bytes()
    middle = len(whole) // 2
    for name, data in {
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "cut": whole[:-9],
        "foreign": b"PK\x03\x04 something else",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ArtifactError, match=name) as caught:
            describe(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ArtifactError, match="gone"):
        describe(tmp_path / "gone")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"bases": {}}, "does not regrow"),
        ({"bases": 3}, "does not regrow"),
        ({"seed": 8}, "does not regrow"),
        ({"config": None}, "lacks or spoils"),
        ({"config": {"model": {"n_layers": 3}}}, "n_layers"),
        ({"vocab_size": "x"}, "lacks or spoils"),
    ],
)
def test_a_manifest_that_does_not_fit_is_one_sentence(
    small_artifact: Path, tmp_path: Path, change: dict[str, object], what: str
) -> None:
    file = read_artifact(small_artifact)
    own = ("format", "format_version", "sha256")
    manifest = {key: value for key, value in file.manifest.items() if key not in own} | change
    write_artifact(tmp_path / "other", file.payloads, manifest)
    with pytest.raises(ArtifactError, match=what) as caught:
        describe(tmp_path / "other")
    assert str(tmp_path / "other") in str(caught.value) and "\n" not in str(caught.value)

"""result.json keeps the contract's keys, nulls what was not run, and is never left half written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regrow.core.errors import DataError
from regrow.core.results import Bpb, DataFigures, Proof, Result, components

# The contract, copied key by key from the document that scripts are written against.
TOP = [
    "schema",
    "preset",
    "seed",
    "device",
    "threads",
    "world_size",
    "torch",
    "data",
    "bytes",
    "bpb",
    "proof",
    "proof_adaptive",
]
TOP += [
    "seconds",
    "steps",
    "train_tokens_seen",
    "tokens_per_second",
    "kept",
    "candidates",
    "made",
    "baselines",
    "run",
]
BPB = ["neural", "neural_unquantized", "memory", "blended", "ttt", "official_bytes"]
PROOF = ["bpb", "stream_bytes", "raw_bytes", "sha256_match", "max_abs_row_sum_error"]
PROOF += ["encode_seconds", "decode_seconds", "track", "processes", "portable"]
SECONDS = [
    "total",
    "train",
    "memory_count",
    "memory_score",
    "pack",
    "load",
    "eval",
    "ttt",
    "memory_merge",
    "communication",
    "data",
    "warm_up",
    "score",
]
DATA = ["name", "train_bytes", "train_tokens", "val_bytes", "val_tokens", "val_sha256"]


def result() -> Result:
    return Result(
        preset="demo",
        seed=1,
        device="cpu",
        threads=2,
        world_size=1,
        torch="2.13.0",
        data=DataFigures("sotu", 10, 5, 4, 2, "00"),
        bytes={"total": 30, "budget": 100, "adapters": 10, "memory": 20, "base": 0},
        steps=3,
        train_tokens_seen=6,
        tokens_per_second=2.0,
    )


def proof() -> Proof:
    return Proof(1.2, 3, 20, True, 1e-9, 0.1, 0.2)


def test_every_key_of_the_contract_is_there_in_its_order_and_what_was_not_run_is_null(tmp_path: Path) -> None:
    made = result()
    made.proof = proof()
    made.save(tmp_path / "result.json")
    table = json.loads((tmp_path / "result.json").read_text())
    assert list(table) == TOP
    assert list(table["bpb"]) == BPB and list(table["seconds"]) == SECONDS
    assert list(table["proof"]) == PROOF and list(table["data"]) == DATA
    assert table["schema"] == 1
    assert table["bpb"]["ttt"] is None and table["proof"]["track"] == "fixed"


def test_what_is_saved_loads_equal(tmp_path: Path) -> None:
    result().save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result()


def test_an_update_changes_only_what_it_names_and_keeps_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result().save(path)
    table = json.loads(path.read_text())
    table["note"] = "mine"
    table["bpb"]["other"] = 1.5
    path.write_text(json.dumps(table))
    updated = Result.update(path, {"bpb": {"blended": 1.25}, "proof": proof()})
    assert (updated.bpb.blended, updated.bpb.neural, updated.proof) == (1.25, None, proof())
    after = json.loads(path.read_text())
    assert (after["note"], after["bpb"]["other"]) == ("mine", 1.5)
    assert after["data"] == table["data"]


def test_the_bytes_of_a_new_artifact_replace_the_old_ones_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result().save(path)
    updated = Result.update(path, {"bytes": {"total": 5, "budget": 100, "adapters": 5}})
    assert updated.bytes == {"total": 5, "budget": 100, "adapters": 5}


def test_what_an_update_did_not_run_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result().save(path)
    Result.update(path, {"bpb": Bpb(neural=1.5, ttt=1.1)})
    updated = Result.update(path, {"bpb": Bpb(neural=1.4)})
    assert (updated.bpb.neural, updated.bpb.ttt) == (1.4, 1.1)


def test_owners_must_sum_to_the_total(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result().save(path)
    with pytest.raises(ValueError, match="sum"):
        Result.update(path, {"bytes": {"total": 5, "budget": 100, "adapters": 4}})
    assert Result.load(path) == result()
    assert components({"total": 5, "budget": 9, "adapters": 5}) == {"adapters": 5}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "preset": 3}']
)
def test_a_damaged_or_foreign_file_is_one_sentence_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        Result.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_bytes_without_a_total_are_told_before_any_figure_is_put_there(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result().save(path)
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"bytes": {"budget": 5, "adapters": 4}}))
    with pytest.raises(DataError, match="its bytes have no total"):
        Result.update(path, {"bpb": {"blended": 1.2}})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"result\.json"):
        Result.load(tmp_path / "result.json")


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_leaves_the_file_as_it_was(tmp_path: Path, figure: float) -> None:
    path = tmp_path / "result.json"
    whole = result()
    whole.save(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"bpb\.blended"):
        Result.update(path, {"bpb": {"blended": figure}})
    whole.tokens_per_second = figure
    with pytest.raises(DataError, match="tokens_per_second"):
        whole.save(path)
    assert path.read_bytes() == before

"""Benches: their names, their dated results, and that what they compare differs only in what it should."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from benchmarks import NAMES, Given, gpu, run
from benchmarks.bases import DEPTH_ARMS, FULL, QUICK, Size, configs_of_equal_bytes, estimated_bytes, runs_of
from benchmarks.dated import Found, dated, load, results_folder, save_dated
from benchmarks.inside import base_facts, residual_rms, scale_bases
from benchmarks.seeds import paired, spread
from benchmarks.texts import bench_data, share_of_validation
from regrow.cli import main
from regrow.core.errors import ConfigError, DataError, EnvironmentProblem
from regrow.core.progress import Silent
from regrow.data.dataset import Dataset
from regrow.network.transformer import Transformer


def some_text(seed: int, words: int) -> str:
    generator = np.random.Generator(np.random.PCG64(seed))
    vocabulary = ["".join(generator.choice(list("aeinorst"), 2 + i % 5)) for i in range(200)]
    ranks = np.minimum(generator.geometric(0.03, words) - 1, 199)
    return "\n".join(" ".join(vocabulary[i] for i in ranks[at : at + 12]) for at in range(0, words, 12))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    train, val = folder / "mine.txt", folder / "other.txt"
    train.write_text(some_text(1, 12_000))
    val.write_text(some_text(2, 3_000))
    return train, val


@pytest.fixture(scope="module")
def data(texts: tuple[Path, Path]) -> Dataset:
    with bench_data(*texts, 320, Silent()) as dataset:
        return dataset


@pytest.fixture(scope="module")
def printed(texts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `regrow bench bases:quick --json` prints, run where there is no checkout."""
    folder = tmp_path_factory.mktemp("work")
    arguments = [
        "bench",
        "bases:quick",
        "--train",
        str(texts[0]),
        "--val",
        str(texts[1]),
        "--json",
        "--quiet",
    ]
    stream = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(stream):
        assert main(arguments) == 0
    found: dict[str, object] = json.loads(stream.getvalue())
    return found


@pytest.fixture(scope="module")
def result(printed: dict[str, object]) -> Found:
    return load(Path(str(printed["result"])))


def network(base: str = "hadamard", n_layer: int = 2, seed: int = 7) -> Transformer:
    config = msgspec.structs.replace(QUICK.model, base=base, n_layer=n_layer)
    return Transformer(config, QUICK.vocab_size, QUICK.depth_train.seq_len, seed)


def test_an_unknown_bench_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean bases"):
        run("base", Given(), Silent())


def test_every_name_has_its_size() -> None:
    for name in NAMES:
        kind, _, size = name.partition(":")
        assert size in importlib.import_module(f"benchmarks.{kind}").SIZES, name


def test_held_out_text_without_training_text_is_refused(texts: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="--train"):
        run("bases:quick", Given(val=texts[1:]), Silent())


def test_a_missing_file_is_named(tmp_path: Path, texts: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"nothing\.txt"):
        run("bases:quick", Given(texts[:1], (tmp_path / "nothing.txt",)), Silent())


def test_the_bench_holds_out_what_it_is_told_to(data: Dataset, texts: tuple[Path, Path]) -> None:
    assert data.val_bytes == texts[1].read_bytes()
    assert data.train_bytes == len(texts[0].read_bytes())


def test_results_lie_in_the_checkout_that_holds_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "src" / "regrow").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "docs"
    inner.mkdir()
    assert results_folder(inner) == tmp_path.resolve() / "bench" / "results"


def test_results_lie_in_the_working_folder_where_there_is_no_checkout(tmp_path: Path) -> None:
    assert results_folder(tmp_path) == tmp_path.resolve() / "bench" / "results"


def test_a_result_is_never_overwritten(tmp_path: Path) -> None:
    first, second = (save_dated("bases", {"n": n}, tmp_path) for n in (1, 2))
    assert first != second
    assert [json.loads(p.read_bytes())["n"] for p in (first, second)] == [1, 2]
    assert dated("bases", tmp_path) == [first, second]


def test_the_newest_result_is_by_date_then_number_and_of_that_bench(tmp_path: Path) -> None:
    for stem in ("2026-11-23-bases", "2026-11-23-bases-2", "2026-11-23-bases-10", "2026-12-01-bases-quick"):
        (tmp_path / f"{stem}.json").touch()
    assert dated("bases", tmp_path)[-1].stem == "2026-11-23-bases-10"
    with pytest.raises(DataError, match="regrow bench ngram"):
        dated("ngram", tmp_path)


def test_a_share_of_the_held_out_text_is_counted_in_its_own_bytes(data: Dataset) -> None:
    share = share_of_validation(data, 4096)
    assert len(share.val_tokens) == 4096 < len(data.val_tokens)
    assert data.tokenizer.decode(share.val_tokens) == share.val_bytes
    assert share.val_bytes != data.val_bytes[: len(share.val_bytes)], "pieces are spread over the text"
    assert share_of_validation(data, 10**9) is data


def test_networks_of_one_seed_differ_in_the_base_alone() -> None:
    """The comparison by base is paired: everything that is trained starts from the same numbers."""
    ours, theirs = network("hadamard"), network("gaussian")
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(p, q), name
    bases = [(p, q) for p, q in zip(ours.buffers(), theirs.buffers(), strict=True) if p.numel() > 1]
    assert bases and not any(torch.equal(p, q) for p, q in bases)


def test_the_stream_is_one_where_blocks_add_nothing(data: Dataset) -> None:
    """The embedding is normalised, so its root mean square is 1; silent blocks leave it there."""
    silent = network(n_layer=3)
    with torch.no_grad():
        for name, p in silent.named_parameters():
            if name.endswith(("attention_gain", "mlp_gain")):
                p.zero_()
    assert residual_rms(silent, data, 4, 128) == pytest.approx([1.0] * 4, abs=0.01)


def test_the_stream_grows_with_what_blocks_add(data: Dataset) -> None:
    loud = network(n_layer=1)
    with torch.no_grad():
        loud.get_parameter("blocks.0.mlp_gain").fill_(100.0)
    first, second = residual_rms(loud, data, 4, 128)
    assert second > 5 * first


@pytest.mark.parametrize(
    ("base", "rule", "least", "greatest"),
    [("hadamard", "1", 1.0, 1.0), ("qr", "1", 1.0, 1.0), ("hadamard", "1 / sqrt(in)", 1 / 8, 1 / 8)],
)
def test_an_orthogonal_base_has_the_stated_gain(base: str, rule: str, least: float, greatest: float) -> None:
    made = network(base)
    scale_bases(made, rule)
    for matrix, facts in base_facts(made).items():
        if "128]" not in matrix:  # into 64 channels
            assert (facts["least"], facts["greatest"]) == pytest.approx((least, greatest), rel=1e-5)


def test_a_gaussian_base_has_the_stated_entries() -> None:
    """1 / larger side as our bases have it, 1 / in under `fan in`: other where rows outnumber columns."""
    made = network("gaussian")
    before = base_facts(made)
    scale_bases(made, "fan in")
    after = base_facts(made)
    assert before["up [128, 64]"]["entry_rms"] == pytest.approx(128**-0.5, rel=0.05)
    assert after["up [128, 64]"]["entry_rms"] == pytest.approx(64**-0.5, rel=0.05)
    assert after["down [64, 128]"] == before["down [64, 128]"]
    with pytest.raises(ValueError, match="no gain rule"):
        scale_bases(made, "2")


@pytest.mark.parametrize("size", [FULL, QUICK], ids=lambda size: size.name)
def test_arms_at_equal_bytes_agree_within_one_percent(size: Size) -> None:
    estimates = [estimated_bytes(c, size.vocab_size) for c in configs_of_equal_bytes(size, size.vocab_size)]
    assert len(estimates) == 3 and max(estimates) / min(estimates) < 1.01


def test_a_width_that_cannot_meet_the_bytes_is_refused() -> None:
    unequal = dataclasses.replace(QUICK, widths=(("none", 512, 8, 8), ("all", 64, 2, 2)))
    with pytest.raises(ConfigError, match="another width"):
        list(configs_of_equal_bytes(unequal, 320))


def test_differences_are_taken_seed_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, Student's 4.303 over root three."""
    ours = [{"seed": n, "bpb": bpb} for n, bpb in ((1, 1.1), (2, 2.2), (3, 3.3), (4, None))]
    theirs = [{"seed": n, "bpb": bpb} for n, bpb in ((3, 3.0), (1, 1.0), (2, 2.0), (4, 4.0))]
    assert paired(ours, theirs) == pytest.approx((0.2, 4.303 * 0.1 / math.sqrt(3)), rel=1e-6)
    assert paired(ours[:1], theirs) is None


def test_a_spread_leaves_out_what_diverged() -> None:
    assert spread([1.0, None, 3.0]) == (2.0, math.sqrt(2))
    assert spread([None]) is None


def test_the_bench_runs_every_arm_and_keeps_a_dated_file(printed: dict[str, object], result: Found) -> None:
    path = Path(str(printed["result"]))
    assert path.parts[-3:-1] == ("bench", "results") and path.name.startswith(result["date"])
    everywhere = sum(arm.everywhere for arm in DEPTH_ARMS)
    parts = [run["part"] for run in result["runs"]]
    assert parts.count("depth") == 2 * (everywhere + len(DEPTH_ARMS)) and parts.count("bytes") == 2 * 3
    for found in result["runs"]:
        assert 0.5 < found["bpb"] < 9 and 0.5 < found["train_nats"] < 9
        assert len(found["rms_start"]) == len(found["rms_end"]) == found["n_layer"] + 1
        assert found["steps"] == 4 if found["part"] == "depth" else found["seconds"] >= 0.2


def test_equal_steps_are_equal_batches_and_training_moves_the_network(result: Found) -> None:
    """By seed the arms see the same text; a base that is not used would leave two arms alike."""
    for n in QUICK.depths:
        scores = [run["bpb"] for arm in DEPTH_ARMS for run in runs_of(result, "depth", arm.name, n)]
        assert len(set(scores)) == len(scores)
    assert all(run["rms_start"] != run["rms_end"] and run["tokens"] > 0 for run in result["runs"])


def test_what_is_packed_is_what_is_scored(result: Found) -> None:
    """At equal bytes the score is that of the int8 weights, and their size is near the estimate."""
    for found in result["runs"]:
        if found["part"] == "bytes":
            assert 0.7 < found["packed_bytes"] / found["estimated_bytes"] < 1.2
            assert found["bpb_int8"] != found["bpb"] and abs(found["bpb_int8"] - found["bpb"]) < 0.05


def test_presets_for_gpus_are_trained_and_scored(data: Dataset) -> None:
    found = gpu.measure(data, gpu.SIZES["quick"], Silent())
    assert list(gpu.summary(found)) == ["published", "record", "baseline"]
    for arm in found["arms"]:
        assert arm["tokens_seen"] >= 512 and arm["tokens_per_second"] > 0 and 0.5 < arm["bpb"] < 9


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_bench_says_so(data: Dataset) -> None:
    with pytest.raises(EnvironmentProblem, match="no GPU"):
        gpu.measure(data, gpu.SIZES[""], Silent())

"""Benches: their names, their dated results, and that what they compare differs only in what it should."""

from __future__ import annotations

import contextlib
import io
import json
import math
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from benchmarks import run
from benchmarks.bases import equal_r, estimated_bytes
from benchmarks.bases_page import page
from benchmarks.bases_picture import picture
from benchmarks.bases_result import BasesResult, Figures, paired, spread
from benchmarks.bases_size import DEPTH_ARMS, FULL, QUICK, Size
from benchmarks.dated import newest, results_folder, save_dated
from benchmarks.inside import base_facts, residual_rms, scale_bases
from benchmarks.texts import bench_data, share_of_validation
from benchmarks.training import make_kernels, train_network
from regrow.cli import main
from regrow.core.config.schema import ModelConfig
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Silent
from regrow.data.dataset import Dataset
from regrow.network.transformer import Transformer

ROOT = Path(__file__).parents[2]


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
def result(printed: dict[str, object]) -> BasesResult:
    return BasesResult.load(Path(str(printed["result"])))


def network(base: str = "hadamard", n_layer: int = 2, seed: int = 7) -> Transformer:
    config = msgspec.structs.replace(QUICK.model, base=base, n_layer=n_layer)
    return Transformer(config, QUICK.vocab_size, QUICK.depth_train.seq_len, seed)


def test_an_unknown_bench_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean bases"):
        run("base", None, None, Silent())


def test_held_out_text_without_training_text_is_refused(texts: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="--train"):
        run("bases:quick", None, texts[1], Silent())


def test_a_missing_file_is_named(tmp_path: Path, texts: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match=r"nothing\.txt"):
        run("bases:quick", texts[0], tmp_path / "nothing.txt", Silent())


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
    assert newest("bases", tmp_path) == second


def test_the_newest_result_is_by_date_then_number_and_of_that_bench(tmp_path: Path) -> None:
    for stem in ("2026-11-23-bases", "2026-11-23-bases-2", "2026-11-23-bases-10", "2026-12-01-bases-quick"):
        (tmp_path / f"{stem}.json").touch()
    assert newest("bases", tmp_path).stem == "2026-11-23-bases-10"
    with pytest.raises(DataError, match="regrow bench ngram"):
        newest("ngram", tmp_path)


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
        for block in silent.blocks:
            block.attention_gain.zero_()
            block.mlp_gain.zero_()
    before = silent.run_block
    assert residual_rms(silent, data, 4, 128) == pytest.approx([1.0] * 4, abs=0.01)
    assert silent.run_block is before


def test_the_stream_grows_with_what_blocks_add(data: Dataset) -> None:
    loud = network(n_layer=1)
    with torch.no_grad():
        loud.blocks[0].mlp_gain.fill_(100.0)
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
    estimates = []
    for arm in size.bytes_arms:
        shape = {"d_model": arm.d_model, "n_head": arm.n_head, "n_kv_head": arm.n_kv_head}
        config = msgspec.structs.replace(size.flat, seeded=arm.seeded, r=0, **shape)
        if arm.seeded != "none":
            config = msgspec.structs.replace(config, r=equal_r(config, size.vocab_size, estimates[0]))
        estimates.append(estimated_bytes(Transformer(config, size.vocab_size, 128, 1)))
    assert max(estimates) / min(estimates) < 1.01


def test_a_width_that_cannot_meet_the_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match="another width"):
        equal_r(ModelConfig(n_layer=1, d_model=64, n_head=2, n_kv_head=2, seeded="all"), 320, 10_000_000)


def test_training_ends_on_its_steps_and_repeats_exactly(data: Dataset) -> None:
    states = []
    for _ in range(2):
        made = network()
        kernels = make_kernels(torch.device("cpu"), compiled=False)
        trained = train_network(made, data, QUICK.depth_train, kernels, Silent(), "x")
        assert (trained.steps, trained.tokens, trained.diverged) == (4, 2048, False)
        states.append(made.state_dict())
    fresh = network().state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in fresh)
    assert not all(torch.equal(states[0][name], fresh[name]) for name in fresh)


def test_training_learns(data: Dataset) -> None:
    config = msgspec.structs.replace(QUICK.depth_train, max_steps=40)
    trained = train_network(
        network(), data, config, make_kernels(torch.device("cpu"), compiled=False), Silent(), "x"
    )
    assert trained.train_nats is not None and trained.train_nats < 0.9 * math.log(QUICK.vocab_size)


def test_a_loss_that_is_not_finite_ends_training(data: Dataset) -> None:
    broken = network()
    with torch.no_grad():
        broken.blocks[0].mlp_gain.fill_(float("nan"))
    kernels = make_kernels(torch.device("cpu"), compiled=False)
    trained = train_network(broken, data, QUICK.depth_train, kernels, Silent(), "x")
    assert trained.diverged and trained.steps == 1


def figures(seed: int, bpb: float | None) -> Figures:
    return Figures(
        "depth", "x", seed, "qr", "1", "all", 1, 64, 4, 0, 0, 0, 0, 0.0, None, bpb, [1.0], [1.0], None
    )


def test_differences_are_taken_seed_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, Student's 4.303 over root three."""
    ours = [figures(1, 1.1), figures(2, 2.2), figures(3, 3.3), figures(4, None)]
    theirs = [figures(3, 3.0), figures(1, 1.0), figures(2, 2.0), figures(4, 4.0)]
    gap = paired(ours, theirs)
    assert gap is not None
    assert gap == pytest.approx((0.2, 4.303 * 0.1 / math.sqrt(3)), rel=1e-6)
    assert paired(ours[:1], theirs) is None


def test_a_spread_leaves_out_what_diverged() -> None:
    found = spread([1.0, None, 3.0])
    assert found is not None and (found.mean, found.deviation, found.count) == (2.0, math.sqrt(2), 2)
    assert spread([None]) is None


def test_the_bench_runs_every_arm_and_keeps_a_dated_file(
    printed: dict[str, object], result: BasesResult
) -> None:
    path = Path(str(printed["result"]))
    assert path.parts[-3:-1] == ("bench", "results") and path.name.startswith(result.date)
    everywhere = sum(arm.everywhere for arm in DEPTH_ARMS)
    assert len([r for r in result.runs if r.part == "depth"]) == 2 * (everywhere + len(DEPTH_ARMS))
    assert len([r for r in result.runs if r.part == "bytes"]) == 2 * 3
    for found in result.runs:
        assert found.bpb is not None and 0.5 < found.bpb < 9
        assert len(found.rms_start) == len(found.rms_end) == found.n_layer + 1
        assert found.steps == 4 if found.part == "depth" else found.seconds >= 0.2


def test_what_is_packed_is_what_is_scored(result: BasesResult) -> None:
    """At equal bytes the score is that of the int8 weights, and their size is near the estimate."""
    for found in result.runs:
        if found.part == "bytes":
            assert found.packed_bytes is not None and found.estimated_bytes is not None
            assert 0.7 < found.packed_bytes / found.estimated_bytes < 1.2
            assert found.bpb_int8 is not None and found.bpb is not None
            assert found.bpb_int8 != found.bpb and abs(found.bpb_int8 - found.bpb) < 0.05


def test_the_page_shows_every_arm_and_warns_of_a_quick_run(result: BasesResult) -> None:
    text = page(result, "bench/results/x.json")
    for arm in DEPTH_ARMS:
        assert f"| {arm.name} |" in text
    assert "figures mean nothing" in text and "x.json" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| Hadamard | `1` |")}
    assert widths == {2 + 3 * len(QUICK.depths) + 1}
    full = msgspec.structs.replace(result, size="full")
    assert "figures mean nothing" not in page(full, "x")


def test_the_page_names_runs_that_diverged(result: BasesResult) -> None:
    """A network that diverged has no score; it must not vanish from a mean without a word."""
    runs = [
        msgspec.structs.replace(r, bpb=None, train_nats=None) if (r.arm, r.seed) == ("Gaussian", 1) else r
        for r in result.runs
    ]
    text = page(msgspec.structs.replace(result, runs=runs), "x")
    assert "1 of 2 runs diverged" in text and "1 diverged |" in text


def test_the_picture_is_an_svg_and_the_same_each_time(result: BasesResult) -> None:
    drawn = picture(result)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert picture(result) == drawn


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"x\.json"):
        BasesResult.load(path)


@pytest.mark.skipif(not (ROOT / "docs" / "bases.md").exists(), reason="no full run of the bench is kept yet")
def test_the_page_of_the_bases_is_current(tmp_path: Path) -> None:
    """If this fails: `python docs/make_bases.py`."""
    make = runpy.run_path(str(ROOT / "docs" / "make_bases.py"))
    make["make"](newest("bases", ROOT / "bench" / "results"), tmp_path)
    assert (tmp_path / "bases.md").read_text() == (ROOT / "docs" / "bases.md").read_text()

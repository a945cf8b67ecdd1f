"""The sweep: what is run on how many tokens, that nothing is run twice, and that held-out text stays unseen."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.shard_files import TEXTS

from benchmarks import Given, run, sweep
from benchmarks.dated import load
from benchmarks.seeds import Row
from benchmarks.sweep import Runs, Settings, grid_of, halving
from benchmarks.texts import tuning_split
from regrow.core.config.schema import DataConfig
from regrow.core.errors import ConfigError, DataError
from regrow.core.progress import Silent
from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset
from regrow.training.log import Callback
from regrow.training.trainer import train

SMALL = (
    "train.batch_tokens=512", "train.seq_len=64", "train.log_every=1", "train.compile=off", "train.max_tokens=1536",
    "data.vocab_size=320", "model.d_model=64", "model.n_head=2", "model.n_kv_head=1", "model.r=8",
    "pack.budget_bytes=400_000",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    for name, texts in (("train", TEXTS[:50]), ("val", ["never to be read"])):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / f"{name}.txt").write_text("\n\f\n".join(texts))
    return build_dataset(str(tmp_path / "source"), tmp_path / "data", DataConfig(vocab_size=320))


def row(bpb: float | None) -> Row:
    return {"bpb": bpb, "failed": None if bpb is not None else "it diverged."}


def test_a_grid_is_every_choice_and_single_values_hold_for_all() -> None:
    fixed, grid = grid_of(["model.r=8,16", "train.max_tokens=99", "train.lr_matrix=0.1,0.2,0.3"])
    assert fixed == ["train.max_tokens=99"] and len(grid) == len(set(grid)) == 6
    assert grid[1] == ("model.r=8", "train.lr_matrix=0.2")
    for settings in ([], ["model.r=8"]):
        with pytest.raises(ConfigError, match="nothing to sweep"):
            grid_of(settings)
    for shared in ("data.vocab_size=300,400", "train.seed=1,2", "train.max_tokens=1,2"):
        with pytest.raises(ConfigError, match="give one value"):
            grid_of([shared])


def test_each_round_keeps_the_better_half_and_doubles_the_tokens() -> None:
    """Seven settings, the lower the number the better, but on few tokens 0 looks like the third best."""
    asked: list[tuple[int, int]] = []

    def measured(settings: Settings, tokens: int, seed: int) -> Row:
        number = int(settings[0])
        asked.append((number, tokens))
        return row(2.5 if number == 0 and tokens == 100 else float(number))

    rows, best, tokens = halving([(str(n),) for n in range(7)], 100, measured)
    assert asked == [*((n, 100) for n in range(7)), *((n, 200) for n in (1, 2, 0, 3)), (0, 400), (1, 400)]
    assert best == ("0",) and tokens == 400
    assert [r["round"] for r in rows] == [1] * 7 + [2] * 4 + [3] * 2


def test_what_fails_is_not_kept_and_a_round_of_failures_ends_the_sweep() -> None:
    scores = {"a": None, "b": 3.0, "c": None, "d": None}
    rows, best, tokens = halving([(name,) for name in scores], 100, lambda s, *_: row(scores[s[0]]))
    assert best == ("b",) and tokens == 100 and len(rows) == 4
    with pytest.raises(ConfigError, match="all runs of round 1 failed; the first: it diverged"):
        halving([("a",), ("c",)], 100, lambda *_: row(None))


def test_a_tenth_of_the_training_text_is_for_tuning(data: Dataset) -> None:
    """Whole documents, in no case on both sides, and nothing of the held-out text."""
    tuned = tuning_split(data)
    held = [text for number, text in enumerate(TEXTS[:50]) if number % 10 == 4]
    assert tuned.val_bytes.decode().split("\n") == [*held, ""] and b"never" not in tuned.val_bytes
    assert tuned.tokenizer.decode(tuned.val_tokens) == tuned.val_bytes
    starts, tokens = [*tuned.doc_offsets.tolist(), len(tuned.train_tokens)], np.asarray(tuned.train_tokens)
    documents = [tuned.tokenizer.decode(tokens[a:b]).decode() for a, b in itertools.pairwise(starts)]
    assert [text.strip() for text in documents] == [text for text in TEXTS[:50] if text not in held]
    assert (tokens[tuned.doc_offsets] == tuned.tokenizer.bos_id).all()
    assert tuned.doc_groups.tolist() == [n for n in range(50) if n % 10 != 4]
    assert tuned.train_bytes + len(tuned.val_bytes) == data.train_bytes


def test_too_few_documents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:4]))
    with pytest.raises(DataError, match="too few to hold a tenth back"):
        tuning_split(build_dataset(str(tmp_path / "a.txt"), tmp_path / "data", DataConfig(vocab_size=280)))


def test_held_out_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--val"):
        run("sweep", Given((tmp_path,), (tmp_path,), settings=("model.r=8,16",)), Silent())
    with pytest.raises(ConfigError, match="--set"):
        run("ngram", Given(settings=("model.r=8,16",)), Silent())


def test_settings_that_do_not_fit_are_named_before_any_work() -> None:
    with pytest.raises(ConfigError, match="n_head"):
        run("sweep", Given(settings=("model.n_head=4,7",)), Silent())


def test_a_finished_run_is_not_run_again_and_a_failed_one_is_a_row(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained: list[int] = []

    def diverges(config: object, *_: object, **__: object) -> None:
        trained.append(1)
        raise ConfigError("loss is no finite number.")

    monkeypatch.setattr(sweep, "train_run", diverges)
    for _ in range(2):
        found = Runs(data, "demo", SMALL, Silent())(("model.r=16",), 1024, 0)
    assert found["failed"] == "loss is no finite number." and found["bpb"] is None and len(trained) == 1
    Runs(data, "demo", SMALL, Silent())(("model.r=16",), 1024, 1)
    Runs(data, "demo", SMALL, Silent())(("model.r=16",), 2048, 0)
    Runs(tuning_split(data), "demo", SMALL, Silent())(("model.r=16",), 1024, 0)
    assert len(trained) == 4, "another seed, other tokens, another text"


def test_ctrl_c_says_how_to_go_on(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt("training was stopped after step 3; go on with --resume.")

    monkeypatch.setattr(sweep, "train_run", stopped)
    with pytest.raises(KeyboardInterrupt, match=r"runs/sweep, and the same command goes on"):
        Runs(data, "demo", SMALL, Silent())(("model.r=16",), 1024, 0)
    assert not list(tmp_path.glob("runs/sweep/*.json"))


@pytest.mark.slow
def test_a_sweep_of_two_settings(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rates, one round, three seeds of the better and of the preset; a second sweep trains nothing."""
    monkeypatch.chdir(tmp_path)
    given = Given((tmp_path / "data",), settings=(*SMALL, "train.lr_matrix=0.02,0.0001"))
    told = run("sweep:quick", given, Silent())
    found = load(Path(told["result"]))
    assert found["best"] == ["train.lr_matrix=0.02"] == told["best"].split()
    assert [(r["round"], r["arm"], r["tokens"]) for r in found["runs"]] == [
        *[(1, None, 1536)] * 2, *[(None, "best", 1536)] * 3, *[(None, "preset", 1536)] * 3,
    ]  # fmt: skip
    seeds = [r["seed"] for r in found["runs"]]
    assert len(set(seeds)) == 3 and seeds[2:5] == seeds[5:]
    assert found["runs"][0]["bpb"] == found["runs"][2]["bpb"], "the same run, made once"
    assert len({r["bpb"] for r in found["runs"]}) == 7
    assert all(0 < r["bpb"] < r["network"] < 9 and r["bytes"] > 0 for r in found["runs"])
    assert set(told["3 seeds"]) == {"best", "preset", "best - preset"} and told["round 1, 1,536 tokens"]
    assert len(list(tmp_path.glob("runs/sweep/*"))) == 7, "no folder of a run is left"
    monkeypatch.setattr(sweep, "train_run", lambda *_, **__: pytest.fail("trained again"))
    assert load(Path(run("sweep:quick", given, Silent())["result"]))["runs"] == found["runs"]


class _CtrlC(Callback):
    """Ctrl-C when the first step was taken."""

    def on_step(self, record: Mapping[str, float]) -> None:
        if record["step"] == 1:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[_CtrlC]:
    """It is ignored in a job in the background, and with it what runs there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield _CtrlC()
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(
    data: Dataset, ctrl_c: _CtrlC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its second step, it trains the third alone and scores as if nothing had been."""
    rows = []
    for folder, callbacks in (("whole", []), ("stopped", [ctrl_c])):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        runs = Runs(data, "demo", SMALL, Silent())
        if callbacks:
            with (
                monkeypatch.context() as patch,
                pytest.raises(KeyboardInterrupt, match="the same command goes on"),
            ):
                patch.setattr(sweep, "train_run", partial(train, callbacks=callbacks))
                runs(("model.r=16",), 1536, 0)
            (log,) = (tmp_path / folder).glob("runs/sweep/*/log.jsonl")
            assert len(log.read_text().splitlines()) == 2
        rows.append(runs(("model.r=16",), 1536, 0))
    assert rows[0] == rows[1]

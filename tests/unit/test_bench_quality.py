"""The bench of quality: every peer's figure is what that peer gives, and the small GPT is scored honestly."""

from __future__ import annotations

import json
import lzma
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shard_files import TEXTS, model

from benchmarks import Given, run, small_gpt
from benchmarks.compressors import ppmd
from benchmarks.dated import Found, save_dated
from benchmarks.pages import filled
from benchmarks.pictures import PICTURES
from benchmarks.quality import Size, measure, summary
from benchmarks.small_gpt import SmallGPT, gpt_nats, train_small_gpt
from benchmarks.texts import HeldOut, bench_texts
from regrow.core.config.load import load_preset
from regrow.core.errors import ConfigError
from regrow.core.progress import Silent
from regrow.data.dataset import Dataset

SMALL = (
    "train.max_seconds=0", "train.max_steps=6", "train.batch_tokens=512", "train.seq_len=64", "train.compile=off",
    "model.d_model=64", "model.n_head=2", "model.n_kv_head=1", "model.r=8", "pack.budget_bytes=400_000",
    "eval.streams=4", "eval.adapt_streams=4",
)  # fmt: skip
PEERS = {"gzip -9", "bzip2 -9", "xz -9e", "xz -9e after the training text", "zstd -22",
         "zstd -22 with the training text as its dictionary", "zstd -22 with a trained dictionary"}  # fmt: skip


def some_text(seed: int, words: int) -> str:
    chosen, vocabulary = random.Random(seed), random.Random(7)
    known = ["".join(vocabulary.choices("aeinorst", k=2 + i % 5)) for i in range(200)]
    return "\n".join(" ".join(chosen.choices(known[:90], k=12)) for _ in range(words // 12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two texts to train on, two to score, the second of several documents, and a model like the challenge's."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "mine.txt").write_text(some_text(1, 9_000))
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS[30:])
    (folder / "web.jsonl.xz").write_bytes(lzma.compress(rows.encode()))
    (folder / "other.txt").write_text(some_text(2, 3_000))
    (folder / "pages.txt").write_text("\n\n".join(TEXTS[:30]))
    model(folder / "challenge.model", TEXTS)
    return folder


@pytest.fixture(scope="module")
def texts(folder: Path) -> Iterator[list[HeldOut]]:
    train, val = [folder / "mine.txt", folder / "web.jsonl.xz"], [folder / "other.txt", folder / "pages.txt"]
    with bench_texts(train, val, 320, Silent()) as made:
        yield made


@pytest.fixture(scope="module")
def data(texts: list[HeldOut]) -> Dataset:
    return texts[0].data


@pytest.fixture(scope="module")
def found(texts: list[HeldOut], folder: Path) -> Found:
    return measure(texts, Size(320, "full", "demo", SMALL), Silent(), folder / "challenge.model")


@pytest.fixture(scope="module")
def network(data: Dataset) -> SmallGPT:
    torch.manual_seed(1)
    return SmallGPT(load_preset("demo", SMALL), data.vocab_size)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_every_row_says_what_its_program_gives(found: Found, texts: list[HeldOut], number: int) -> None:
    pytest.importorskip("zstandard")
    data, of_text = texts[number].data, found["texts"][number]
    rows, text = {row["name"]: row for row in of_text["rows"]}, data.val_bytes
    before = data.tokenizer.decode(np.asarray(data.train_tokens))
    ours = {name.removeprefix("regrow: ") for name, row in rows.items() if row["ours"]}
    assert ours == {
        "memory alone", "network alone, reading the memory", "mixture, evaluated", "proven", "proven, adaptive",
    }  # fmt: skip
    assert {*PEERS, "small GPT, 2 layers of width 64"} <= set(rows)
    best = 9 | lzma.PRESET_EXTREME
    stored = len(lzma.compress(before, preset=best))
    assert rows["xz -9e"]["bpb"] == 8 * len(lzma.compress(text, preset=best)) / len(text)
    after = rows["xz -9e after the training text"]
    assert after["bpb"] == 8 * (len(lzma.compress(before + text, preset=best)) - stored) / len(text)
    assert after["decoder_bytes"] == stored and rows["xz -9e"]["decoder_bytes"] == 0
    proven, whole = rows["regrow: proven"], found["artifact_bytes"]
    assert abs(proven["bpb"] / rows["regrow: mixture, evaluated"]["bpb"] - 1) < 0.02
    assert proven["decoder_bytes"] == whole > rows["regrow: memory alone"]["decoder_bytes"] > 0
    assert [row["bpb"] for row in of_text["rows"]] == sorted(
        (row["bpb"] for row in of_text["rows"]), reverse=True
    )
    assert set(summary(found)[texts[number].name]["rows"]) == set(rows)


@pytest.mark.slow
def test_zstd_gains_from_dictionaries_of_text_like_its_own(found: Found) -> None:
    pytest.importorskip("zstandard")
    bpb = {row["name"]: row["bpb"] for row in found["texts"][0]["rows"]}
    for helped in ("with the training text as its dictionary", "with a trained dictionary"):
        assert bpb[f"zstd -22 {helped}"] < bpb["zstd -22"]


@pytest.mark.slow
def test_one_network_is_measured_on_every_text(found: Found, texts: list[HeldOut]) -> None:
    """Each text has its own figures and counts; what a decoder needs of the models is the same for both."""
    first, second = found["texts"]
    assert [first["name"], second["name"]] == ["other.txt", "pages.txt"]
    assert [first["raw_bytes"], second["raw_bytes"]] == [len(text.data.val_bytes) for text in texts]
    assert [first["official"]["documents"], second["official"]["documents"]] == [1, 30]
    models = [{row["name"]: row["decoder_bytes"] for row in text["rows"] if row["ours"] or "GPT" in row["name"]}
              for text in found["texts"]]  # fmt: skip
    assert models[0] == models[1] and len(models[0]) == 6
    scores = [{row["name"]: row["bpb"] for row in text["rows"]} for text in found["texts"]]
    assert all(scores[0][name] != scores[1][name] for name in scores[0])


def test_training_text_of_several_files_is_all_of_it(texts: list[HeldOut], folder: Path) -> None:
    decoded = texts[0].data.tokenizer.decode(np.asarray(texts[0].data.train_tokens)).decode()
    assert decoded.startswith((folder / "mine.txt").read_text())
    lines = lzma.decompress((folder / "web.jsonl.xz").read_bytes()).splitlines()
    rows = [json.loads(line)["text"] for line in lines]
    assert all(row in decoded for row in rows) and texts[0].data.name == "mine.txt, web.jsonl"
    for held_out in texts:
        assert held_out.data.val_bytes == (folder / held_out.name).read_bytes()
        assert held_out.data.tokenizer.decode(held_out.data.val_tokens) == held_out.data.val_bytes
    assert texts[1].documents == [text.encode() for text in TEXTS[:30]]


def test_a_share_of_a_text_has_its_own_documents(texts: list[HeldOut]) -> None:
    share = texts[0].share(2048)
    assert share.documents == [share.data.val_bytes] != texts[0].documents and share.name == "other.txt"
    assert texts[0].share(10**9) is texts[0]


def test_texts_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / place / "val.txt" for place in ("books", "web", "x/web")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(some_text(4, 600))
    with bench_texts([paths[0]], paths[:2], 300, Silent()) as texts:
        assert [text.name for text in texts] == ["books/val.txt", "web/val.txt"]
    with (
        pytest.raises(ConfigError, match=r"two texts are called web/val\.txt"),
        bench_texts([paths[0]], paths[1:], 300, Silent()),
    ):
        pass


def test_other_benches_take_one_text_and_no_model_of_the_challenge(tmp_path: Path) -> None:
    two = (tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match="ngram takes one text"):
        run("ngram", Given(train=two), Silent())
    with pytest.raises(ConfigError, match="for bench quality alone"):
        run("ngram", Given(official=two[0]), Silent())


@pytest.mark.slow
def test_the_small_gpt_trains_no_shorter_than_ours(found: Found) -> None:
    training = found["training"]
    assert training["small GPT"]["seconds"] >= training["regrow"]["seconds"] > 0
    assert training["small GPT"]["tokens"] % 512 == 0


def test_ppmd_gains_from_what_it_coded_before() -> None:
    pytest.importorskip("pyppmd")
    before, text = some_text(1, 6000).encode(), some_text(2, 3000).encode()
    (alone,), (stored, after) = ppmd(text), ppmd(before, text)
    assert after < alone < len(text) / 2 and stored < len(before) / 2


def test_the_small_gpt_sees_nothing_of_what_it_predicts(network: SmallGPT) -> None:
    inputs_BT = torch.randint(300, (1, 20))
    other_BT = inputs_BT.clone()
    other_BT[0, 12] += 1
    with torch.no_grad():
        first, second = (network.losses(given, inputs_BT) for given in (inputs_BT, other_BT))
    assert torch.allclose(first[0, :12], second[0, :12]) and not torch.allclose(first[0, 12:], second[0, 12:])


@pytest.mark.parametrize("length", [1, 5, 64, 65, 200, 513])
def test_every_token_is_scored_once(network: SmallGPT, length: int) -> None:
    """A network that gives every token the same probability."""
    level = SmallGPT(load_preset("demo", SMALL), 320)
    torch.nn.init.zeros_(level.tokens.weight)
    tokens = np.arange(length) % 300
    assert gpt_nats(level, tokens, 0) == pytest.approx(length * math.log(320), rel=1e-5)


def test_tokens_in_the_first_context_are_scored_with_all_before_them(network: SmallGPT) -> None:
    tokens = np.arange(40) * 7 % 300
    given = torch.from_numpy(np.concatenate(([5], tokens[:-1])))[None]
    with torch.no_grad():
        expected = float(network.losses(given, torch.from_numpy(tokens)[None]).sum())
    assert gpt_nats(network, tokens, 5) == pytest.approx(expected, rel=1e-2)  # of bfloat16


def test_the_small_gpt_learns(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_gpt, "_RISING", 1)
    trained = train_small_gpt(load_preset("demo", SMALL), data, 1.0, lambda line: None)
    tokens = np.asarray(data.val_tokens)
    assert gpt_nats(trained.network, tokens, data.tokenizer.bos_id) < 0.97 * len(tokens) * math.log(
        data.vocab_size
    )
    assert trained.stored_bytes == 2 * sum(p.numel() for p in trained.network.parameters())


@pytest.mark.slow
def test_page_and_picture_show_the_newest_of_each_text(found: Found, tmp_path: Path) -> None:
    mark = "<!-- table: quality -->\n<!-- end -->"
    empty = PICTURES["quality"](tmp_path)
    assert "Not measured yet" in filled(mark, tmp_path)
    first, second = found["texts"]
    for name, bpb in (("books.txt", 9.0), ("years", 1.5), ("books.txt", 1.25)):
        rows = [{**row, "bpb": bpb} for row in first["rows"]]
        texts = [{**first, "name": name, "rows": rows}, *([second] if bpb == 9.0 else [])]
        save_dated("quality", {**found, "texts": texts}, tmp_path)
    page = filled(mark, tmp_path)
    assert page.count("## books.txt") == page.count("## years") == page.count("## pages.txt") == 1
    assert f"`challenge.model`: 30 documents, {second['official']['tokens']:,} tokens to predict" in page
    assert "| regrow: proven | 1.2500 |" in page and "9.0000" not in page
    assert PICTURES["quality"](tmp_path) != empty

"""An artifact without a network: it predicts what its memory predicts, in floats, exactly, and without torch."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

import regrow
from regrow.artifact.artifact import Artifact
from regrow.artifact.stored import StoredArtifact, memory_alone, store_memory
from regrow.core.config.load import config_from_dict
from regrow.core.config.schema import Config, MemoryConfig, PackConfig
from regrow.core.errors import ArtifactError, BudgetError, ConfigError, NgramError
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import text_bits
from regrow.ngram.store.text_form import encode_tokens
from regrow.predict.codec import Codec
from regrow.predict.evaluation import evaluate

CONFIG = Config(memory=MemoryConfig(max_order=4))


def words(seed: int, size: int) -> bytes:
    rng = random.Random(seed)
    return " ".join(
        rng.choice("the cat sat on a mat and saw the dog run home".split()) for _ in range(size)
    ).encode()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NgramModel, Tokenizer]:
    tokenizer = Tokenizer.train([words(1, 3000)], 300)
    tokens = np.concatenate(([tokenizer.bos_id], tokenizer.encode(words(1, 3000)))).astype(np.uint16)
    counts = NgramCounts(300, 4, bos_id=tokenizer.bos_id)
    counts.add(tokens)
    path = tmp_path_factory.mktemp("memory") / "artifact.safetensors"
    ledger = store_memory(path, CONFIG, tokenizer, encode_tokens(tokens, 300), counts.sha256())
    assert (
        ledger.total == path.stat().st_size
        and ledger.parts()["matrices"] == ledger.parts()["embeddings"] == 0
    )
    return path, NgramModel.from_counts(counts), tokenizer


def test_it_scores_as_its_memory_does_and_has_no_figure_of_a_network(
    stored: tuple[Path, NgramModel, Tokenizer],
) -> None:
    path, model, tokenizer = stored
    text = words(2, 40)  # short, so that it is one stream
    tokens = tokenizer.encode(text)
    measured = evaluate(path, text)
    wanted = text_bits(model, np.asarray(tokens), tokenizer.bos_id) / len(text)
    assert measured.bpb.neural is None
    assert [measured.bpb.memory, measured.bpb.blended] == pytest.approx([wanted, wanted], rel=1e-5)
    encoded = Codec.load(path).encode(text, always=True)
    assert encoded.ideal_bits / len(text) == pytest.approx(wanted, rel=1e-3)


def test_it_codes_any_bytes_without_torch(stored: tuple[Path, NgramModel, Tokenizer], tmp_path: Path) -> None:
    path, *_ = stored
    text = words(3, 300) + bytes(range(256))
    (tmp_path / "text").write_bytes(text)
    code = (
        "import sys, pathlib\nsys.modules['torch'] = None\nfrom regrow.predict.codec import Codec\n"
        f"codec, folder = Codec.load({str(path)!r}), pathlib.Path({str(tmp_path)!r})\n"
        "stream = codec.encode((folder / 'text').read_bytes(), always=True).stream\n"
        "(folder / 'back').write_bytes(codec.decode(stream))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "back").read_bytes() == text


def test_it_is_loaded_with_a_network_of_no_parameters(stored: tuple[Path, NgramModel, Tokenizer]) -> None:
    path, *_ = stored
    loaded = Artifact.load(path)
    assert not list(loaded.network.parameters()) and StoredArtifact.read(path).config == memory_alone(CONFIG)
    predictor = loaded.predictor(2)
    rows_SV = predictor.predict()
    predictor.update(np.array([5, 6]))
    assert rows_SV.exp().sum(-1).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_a_memory_over_the_budget_is_not_written(
    stored: tuple[Path, NgramModel, Tokenizer], tmp_path: Path
) -> None:
    *_, tokenizer = stored
    config = msgspec.structs.replace(CONFIG, pack=PackConfig(budget_bytes=500))
    with pytest.raises(BudgetError, match=r"over pack\.budget_bytes = 500"):
        store_memory(tmp_path / "a", config, tokenizer, b"x" * 600, "")
    assert not list(tmp_path.iterdir())


def test_no_network_needs_a_memory() -> None:
    with pytest.raises(ConfigError, match="n_layer is 0"):
        config_from_dict({"model": {"n_layer": 0}, "memory": {"kind": "none"}}, "here")


def test_an_artifact_of_a_memory_alone_is_an_ngram_model_in_python(
    stored: tuple[Path, NgramModel, Tokenizer], small_artifact: Path
) -> None:
    path, memory, tokenizer = stored
    model = regrow.load_ngram(path)
    assert isinstance(model, regrow.TokenModel) and model.order == 4
    text = "the cat sat on a mat and caf\u00e9s ran home"
    tokens = tokenizer.encode(text.encode())
    assert model.score(text) == pytest.approx(
        -text_bits(memory, tokens, tokenizer.bos_id) * math.log10(2), rel=1e-5
    )
    told = list(model.full_scores(text))
    assert len(told) == len(tokens) and sum(log10 for log10, *_ in told) == pytest.approx(model.score(text))
    assert told[0][1] == 2, "the context of the first token is the text's beginning"
    assert max(order for _, order, _ in told) == 4 and not any(unknown for *_, unknown in told)
    assert model.perplexity(text) == pytest.approx(10 ** (-model.score(text) / len(tokens)))
    long = [words(5, 3000), b"", b"the cat"]
    log10_T, start_D1 = model.score_many(long)
    assert list(np.diff(start_D1)) == [len(tokenizer.encode(one)) for one in long]
    assert log10_T[: start_D1[1]].sum() == pytest.approx(model.score(long[0]))
    assert len(list(model.full_scores(long[0]))) == start_D1[1] > 1024
    assert model.score("") == 0 and list(model.full_scores("")) == []
    with pytest.raises(NgramError, match="empty text"):
        model.perplexity("")
    with pytest.raises(NgramError, match="no n-gram model by itself"):
        regrow.load_ngram(small_artifact)
    with pytest.raises(ArtifactError):
        regrow.load_ngram(__file__)


def test_documents_cost_together_what_the_whole_text_costs(
    stored: tuple[Path, NgramModel, Tokenizer], tmp_path: Path
) -> None:
    parts = [words(seed, 30 + seed) + b"\n" for seed in (5, 6, 7)]
    (tmp_path / "text").write_bytes(b"\x0c\n".join(parts))
    measured = evaluate(stored[0], tmp_path / "text")
    begins = [d.begins.removesuffix(" …") for d in measured.documents]
    assert all(part.decode().startswith(begin + " ") for part, begin in zip(parts, begins, strict=True))
    assert all(50 < len(begin) <= 60 for begin in begins), "cut between words"
    assert sum(d.bytes for d in measured.documents) == measured.raw_bytes
    whole = sum(d.mixture for d in measured.documents) / measured.raw_bytes
    assert whole == pytest.approx(measured.bpb.blended)
    assert all(d.network is None and d.memory == pytest.approx(d.mixture) for d in measured.documents)
    reset = evaluate(stored[0], tmp_path / "text", reset_at=b"\x0c\n")
    assert [d.bytes for d in reset.documents] == [d.bytes for d in measured.documents]
    assert evaluate(stored[0], parts[0]).documents == []

"""What the packer stores of the memory: the whole text where it fits and loads in time, else what predicts better."""

from __future__ import annotations

import numpy as np
import pytest
from tests.datasets import dataset_of

from regrow.core.config.load import config_from_dict
from regrow.core.config.schema import Config
from regrow.core.errors import BudgetError
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.store.table_form import decode_grams
from regrow.ngram.store.text_form import decode_tokens
from regrow.training import pack_memory as memory_form
from regrow.training.batches import Plan
from regrow.training.memory import TrainingMemory
from regrow.training.pack_memory import stored_memory

BYTES_LEFT = 1_000_000


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.Generator(np.random.PCG64(1))
    words = [bytes(rng.integers(97, 123, 4).astype(np.uint8)) for _ in range(60)]
    documents = [b" ".join(words[i] for i in rng.zipf(1.5, 300) % 60) for _ in range(20)]
    tokenizer = Tokenizer.train(documents, 300)
    pieces = [np.concatenate(([tokenizer.bos_id], tokenizer.encode(d))) for d in documents]
    offsets = np.cumsum([0] + [len(p) for p in pieces])[:-1]
    return dataset_of(tokenizer, np.concatenate(pieces), offsets, np.arange(20), b"a few words")


def stored(
    data: Dataset, bytes_left: int = BYTES_LEFT, **settings: dict[str, object]
) -> tuple[bytes, list[str]]:
    config: Config = config_from_dict({"memory": {"max_order": 4}} | settings, "test")
    plan = Plan.of(data, 64, 0.2, 2, 0)
    memory = TrainingMemory(config.memory, plan, data.vocab_size, data.tokenizer.bos_id)
    said: list[str] = []
    return stored_memory(config, data, memory, bytes_left, log=said.append)[0], said


def test_the_whole_text_is_stored_where_it_fits_and_loads_in_time(data: Dataset) -> None:
    found, said = stored(data)
    assert np.array_equal(decode_tokens(found), data.train_tokens) and not said


def test_what_would_load_too_long_is_a_table_that_loads_in_time(data: Dataset) -> None:
    """The limit is kept, not wished for, and what it costs is said with the key that lifts it."""
    most = 2000
    seconds = most * memory_form._TABLE_LOAD
    found, said = stored(data, pack={"load_seconds": seconds})
    grams, _ = decode_grams(found)
    assert 0.5 * most < grams.entries <= most
    assert len(said) == 1 and "pack.load_seconds" in said[0] and "0 for any time" in said[0]


def test_a_form_that_is_asked_for_is_stored_however_long_it_loads(data: Dataset) -> None:
    for form in ("text", "table"):
        found, said = stored(data, pack={"load_seconds": 1e-6}, memory={"max_order": 4, "stored": form})
        assert found[:4] == (b"RgT1" if form == "text" else b"RgN1") and not said


@pytest.mark.parametrize("form", ["auto", "table", "text"])
@pytest.mark.parametrize("bytes_left", [20, 0, -3000])
def test_too_few_bytes_are_said_with_the_key(data: Dataset, form: str, bytes_left: int) -> None:
    """The other parts may leave nothing of the budget, or less."""
    with pytest.raises(BudgetError, match=rf"pack\.budget_bytes = .* leaves {bytes_left:,} bytes"):
        stored(data, bytes_left=bytes_left, memory={"max_order": 4, "stored": form})

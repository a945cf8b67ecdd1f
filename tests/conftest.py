"""Settings of the whole test suite, and what many files need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from regrow.core.config.schema import Config

# The same examples everywhere, and no clock: a busy machine must not turn a true property into a failure. CI's nightly
# run sets HYPOTHESIS_PROFILE=nightly: other examples each time, and more of them.
_NO_CLOCK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _NO_CLOCK, derandomize=True, database=None)
settings.register_profile("nightly", _NO_CLOCK, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

_SMALL = """
model.d_model=64 model.n_layer=2 model.n_head=2 model.n_kv_head=1 model.r=4 model.window=64
train.seq_len=64 train.batch_tokens=64 train.seed=7 data.vocab_size=300
"""


@pytest.fixture(scope="session")
def small_config() -> Config:
    """The demo's config, as small as it can be."""
    from regrow.core.config.load import apply_overrides, load_preset

    return apply_overrides(load_preset("demo"), _SMALL.split())


@pytest.fixture(scope="session")
def small_artifact(tmp_path_factory: pytest.TempPathFactory, small_config: Config) -> Path:
    """An artifact of `small_config`, packed without training; not to be changed."""
    import numpy as np
    import torch

    from regrow.artifact.artifact import save_artifact
    from regrow.data.tokenizer import Tokenizer
    from regrow.network.mixer import Mixer
    from regrow.network.transformer import Transformer
    from regrow.ngram.store.text_form import encode_tokens

    path = tmp_path_factory.mktemp("small") / "artifact.safetensors"
    text = b"the state of the union is strong, and so is the union of the states. " * 40
    tokenizer = Tokenizer.train([text], small_config.data.vocab_size)
    train = small_config.train
    network = Transformer(small_config.model, tokenizer.vocab_size, train.seq_len, train.seed)
    memory = encode_tokens(np.asarray(tokenizer.encode(text)), tokenizer.vocab_size)
    mixer = Mixer(small_config.mixer, torch.Generator())
    save_artifact(path, small_config, tokenizer, network, memory, "c" * 64, mixer)
    return path

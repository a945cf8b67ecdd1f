"""Packing leaves the network where it is, and the result names the device that trained it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.datasets import dataset_of

from regrow.artifact.ledger import Ledger
from regrow.core.config.load import config_from_dict
from regrow.core.config.schema import Config
from regrow.core.errors import ArtifactError
from regrow.core.progress import Silent
from regrow.data.dataset import Dataset
from regrow.data.tokenizer import Tokenizer
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.training import packing


def small() -> tuple[Config, Dataset, Transformer]:
    config = config_from_dict({"model": {"n_layer": 1, "d_model": 64, "n_head": 2, "n_kv_head": 1}}, "test")
    tokenizer = Tokenizer.train([b"a few words"], 257)
    tokens = np.array([tokenizer.bos_id, *[5] * 600], np.uint16)
    data = dataset_of(tokenizer, tokens, np.array([0]), np.array([0]), b"a few words")
    return config, data, Transformer(config.model, data.vocab_size, config.train.seq_len, 1)


def test_the_result_names_the_device_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands in for a GPU; what needs the weights' values is left out."""
    config, data, network = small()
    network = network.to("meta")
    mixer = Mixer(config.mixer, torch.Generator())
    monkeypatch.setattr(packing, "check_exact", lambda *_: None)
    monkeypatch.setattr(packing, "bytes_for_memory", lambda *_: 0)
    monkeypatch.setattr(packing, "save_artifact", lambda *_: Ledger())
    result = packing.pack(config, data, tmp_path, network, mixer, None, 1.0, Silent())
    assert (result.device, network.embedding.device.type) == ("meta", "meta")


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        ("blocks.0.up.lora_a", "weight blocks.0.up has numbers beyond the exact range"),
        ("blocks.0.q.dense", "weight blocks.0.q has entries above what exact inference can hold"),
        ("blocks.0.mlp_gain", "weight blocks.0.mlp_gain"),
        ("embedding", "weight embedding"),
    ],
)
def test_numbers_that_exact_inference_cannot_hold_are_refused_by_name(
    tmp_path: Path, tensor: str, sentence: str
) -> None:
    config, data, network = small()
    with torch.no_grad():
        dict(network.named_parameters())[tensor].fill_(1e6)
        if "lora" in tensor:
            network.get_parameter("blocks.0.up.lora_b").fill_(1e6)
    mixer = Mixer(config.mixer, torch.Generator())
    with pytest.raises(ArtifactError, match=rf"the trained network: {sentence}.*; train"):
        packing.pack(config, data, tmp_path, network, mixer, None, 1.0, Silent())
    assert not list(tmp_path.iterdir())

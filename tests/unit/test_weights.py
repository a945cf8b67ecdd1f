"""The torch-free reader of the weights payload sees what the torch side loads."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from regrow.artifact.artifact import load_weights, pack_weights
from regrow.artifact.weights import STEP_BITS, read_weights
from regrow.core.config.schema import ModelConfig
from regrow.core.errors import ArtifactError
from regrow.network.shapes import parameter_shapes
from regrow.network.transformer import Transformer

SMALL = ModelConfig(n_layer=2, d_model=64, n_head=2, n_kv_head=1, rope_dims=8, r=8)


@pytest.mark.parametrize(("seeded", "r"), [("all", 8), ("mlp", 8), ("mlp", 1), ("none", 0)])
def test_integers_are_the_weights(seeded: str, r: int) -> None:
    config = msgspec.structs.replace(SMALL, seeded=seeded, r=r, n_kv_head=2)
    network = Transformer(config, 300, 64, 1)
    assert {n: tuple(p.shape) for n, p in sorted(network.named_parameters())} == parameter_shapes(config, 300)
    payload = pack_weights(network)
    load_weights(network, payload, "here")
    weights = read_weights(payload, config, 300, "here")
    for name, p in network.named_parameters():
        w = weights[name]
        value = w.q * w.step_R.reshape(-1, *[1] * (w.q.ndim - 1)) / 2.0**STEP_BITS
        assert np.array_equal(value, p.detach().double().numpy()), name


def test_a_payload_of_another_shape_names_the_weight() -> None:
    payload = pack_weights(Transformer(SMALL, 300, 64, 1))
    with pytest.raises(ArtifactError, match="weight embedding"):
        read_weights(payload, SMALL, 301, "here")
    with pytest.raises(ArtifactError, match="cut short"):
        read_weights(payload[:-1], SMALL, 300, "here")

"""SeededLinear: one merged weight everywhere, a base no checkpoint holds, an adapter that starts silent."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from regrow.core.errors import ConfigError
from regrow.network.bases import seeded_orthogonal
from regrow.network.lora import SeededLinear


def trained(r: int = 8) -> SeededLinear:
    layer = SeededLinear(128, 192, r, seed=11, gain=0.7)
    if layer.lora_b is not None:
        torch.nn.init.normal_(layer.lora_b, generator=torch.Generator().manual_seed(0))
    return layer


def inputs() -> torch.Tensor:
    return torch.randn(2, 5, 128, generator=torch.Generator().manual_seed(1))


def test_it_starts_as_its_base() -> None:
    layer = SeededLinear(128, 192, 8, seed=11, gain=0.7)
    assert torch.equal(layer.weight(), seeded_orthogonal(11, 192, 128, 0.7))


def test_the_state_dict_holds_the_adapter_and_no_base_and_restores_the_layer() -> None:
    layer = trained()
    state = layer.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items() if "extra" not in name} == {
        "lora_a": (8, 128),
        "lora_b": (192, 8),
    }
    fresh = SeededLinear(128, 192, 8, seed=11, gain=0.7)
    fresh.load_state_dict(state)
    assert torch.equal(fresh(inputs()), layer(inputs()))


@pytest.mark.parametrize("other", [{"seed": 12}, {"gain": 0.8}, {"base": "gaussian"}])
def test_a_state_of_another_base_is_refused(other: dict[str, Any]) -> None:
    """Another seed would give another output without a word; the state says what its base grows from."""
    state = trained().state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    settings: dict[str, Any] = {"seed": 11, "gain": 0.7} | other
    layer = torch.nn.Sequential(SeededLinear(128, 192, 8, **settings))
    with pytest.raises(ConfigError, match=f"{next(iter(other))} .* there"):
        layer.load_state_dict({f"0.{k}": v for k, v in torch.load(buffer, weights_only=True).items()})


def test_numpy_integers_are_seeds_and_sides() -> None:
    seed, rows, cols = np.uint64(2**64 - 3), np.int64(192), np.int32(128)
    expected = seeded_orthogonal(2**64 - 3, 192, 128)
    assert torch.equal(seeded_orthogonal(seed, rows, cols), expected)  # type: ignore[arg-type]
    layer, twin = (SeededLinear(128, 192, 4, seed=s) for s in (np.int64(11), 11))  # type: ignore[arg-type]
    assert torch.equal(layer.weight(), twin.weight())
    twin.load_state_dict(layer.state_dict())
    for wrong in (-1, 2**64, 1.5):
        with pytest.raises(ConfigError, match="whole number from 0"):
            SeededLinear(128, 192, 4, seed=wrong)  # type: ignore[arg-type]


def test_the_forward_pass_is_one_multiplication_by_the_merged_weight() -> None:
    layer = trained()
    assert layer.lora_a is not None and layer.lora_b is not None
    assert torch.allclose(layer.weight(), layer.base + layer.lora_b @ layer.lora_a, atol=1e-6)
    assert torch.equal(layer(inputs()), functional.linear(inputs(), layer.weight()))
    layer.eval()
    assert torch.equal(layer(inputs()), functional.linear(inputs(), layer.weight()))


def test_autocast_does_not_change_the_merged_weight() -> None:
    layer = trained()
    expected = layer.weight()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.weight(), expected)
        assert layer(inputs()).dtype == torch.bfloat16


def test_only_the_adapter_gets_gradients() -> None:
    layer = trained()
    layer(inputs()).square().sum().backward()
    assert layer.base.grad is None and not layer.base.requires_grad
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    assert {name for name, _ in layer.named_parameters()} == {"lora_a", "lora_b"}


def test_r_zero_is_the_frozen_base_without_parameters() -> None:
    layer = SeededLinear(128, 192, 0, seed=11)
    assert not list(layer.parameters()) and set(layer.state_dict()) == {"_extra_state"}
    assert torch.equal(layer(inputs()), functional.linear(inputs(), seeded_orthogonal(11, 192, 128)))


def test_a_deep_copy_is_equal_and_separate() -> None:
    layer = trained()
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(inputs()), layer(inputs()))
    assert twin.lora_b is not None
    with torch.no_grad():
        twin.lora_b.zero_()
    assert not torch.equal(twin(inputs()), layer(inputs()))


def test_moving_to_another_precision_moves_the_base_too() -> None:
    layer = trained().to(torch.float64)
    assert layer.weight().dtype == torch.float64
    assert layer(inputs().double()).dtype == torch.float64
    made = SeededLinear(128, 192, 8, seed=11, dtype=torch.bfloat16)
    assert made.weight().dtype == torch.bfloat16


def test_it_compiles_without_a_graph_break() -> None:
    layer = trained()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(inputs()), layer(inputs()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compiled(inputs()), layer(inputs()))


def test_the_start_is_a_function_of_the_seed_and_not_of_torchs_generator() -> None:
    torch.manual_seed(1)
    first = SeededLinear(128, 192, 8, seed=11).lora_a
    torch.manual_seed(2)
    second, other = SeededLinear(128, 192, 8, seed=11).lora_a, SeededLinear(128, 192, 8, seed=12).lora_a
    assert first is not None and second is not None and other is not None
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert 0.99 / 128**0.5 < first.abs().max().item() < 1 / 128**0.5


def test_a_negative_r_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        SeededLinear(128, 192, -1, seed=1)


def test_its_text_form_names_what_it_regrows_from() -> None:
    assert "seed=0x000000000000000b" in repr(trained()) and "gain=0.7" in repr(trained())

"""Quantised matrices: half a step off at most, a clip only where it pays, and no NaN let through."""

from __future__ import annotations

import pytest
import torch

from regrow.artifact.quantise_weights import QuantizedMatrix, quantize_rows
from regrow.core.errors import ArtifactError


def gaussian(rows: int = 64, cols: int = 256, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


def mean_square(matrix: QuantizedMatrix, w: torch.Tensor) -> float:
    return float((matrix.dequantize() - w).square().mean())


def test_every_entry_is_within_half_a_step_or_clipped() -> None:
    w = gaussian() * torch.logspace(-4, 3, 64)[:, None]
    matrix = quantize_rows(w)
    step = matrix.scale.float()[:, None]
    inside = w.abs() <= 127.5 * step
    assert inside.float().mean() > 0.98
    assert ((matrix.dequantize() - w).abs() <= 0.5001 * step)[inside].all()


def test_the_types_are_the_stored_ones() -> None:
    matrix = quantize_rows(gaussian().bfloat16())
    assert (matrix.q.dtype, matrix.scale.dtype, matrix.dequantize().dtype) == (
        torch.int8,
        torch.float16,
        torch.float32,
    )
    assert matrix.q.shape == (64, 256) and matrix.scale.shape == (64,)


def test_gaussian_rows_lose_as_little_as_eight_bits_must() -> None:
    """An eight-bit uniform quantiser over +-3 deviations leaves (6 / 254)^2 / 12, or 4.7e-5."""
    assert mean_square(quantize_rows(gaussian()), gaussian()) < 6e-5


def test_what_is_on_the_grid_comes_back_exactly() -> None:
    steps = torch.tensor([0.5, 0.125, 2.0])
    q = torch.randint(-127, 128, (3, 50), generator=torch.Generator().manual_seed(0))
    q[:, 0] = 127
    assert torch.equal(quantize_rows(q * steps[:, None]).dequantize(), q * steps[:, None])


def test_quantising_twice_changes_nothing() -> None:
    once = quantize_rows(gaussian()).dequantize()
    assert torch.equal(quantize_rows(once).dequantize(), once)


def test_clipping_an_outlier_pays_and_is_done() -> None:
    """With few levels one large entry would otherwise set a step that rounds all the others to zero."""
    w = gaussian(1, 4096)
    w[0, 7] = 8.0
    clipped = quantize_rows(w, levels=7)
    step = 8.0 / 7
    unclipped = QuantizedMatrix((w / step).round().to(torch.int8), torch.tensor([step], dtype=torch.float16))
    assert float(clipped.scale[0]) < step
    assert mean_square(clipped, w) < 0.7 * mean_square(unclipped, w)


def test_the_error_never_exceeds_that_of_no_clipping() -> None:
    for seed, power in enumerate((1, 3, 5)):
        w = gaussian(seed=seed).pow(power)
        step = (w.abs().amax(dim=1) / 127).half()
        plain = QuantizedMatrix((w / step[:, None].float()).round().clamp(-127, 127).to(torch.int8), step)
        assert mean_square(quantize_rows(w), w) <= mean_square(plain, w)


def test_fewer_levels_stay_within_them() -> None:
    matrix = quantize_rows(gaussian(), levels=15)
    assert matrix.q.abs().max() == 15
    assert mean_square(matrix, gaussian()) < 100 * mean_square(quantize_rows(gaussian()), gaussian())


def test_rows_of_zeros_and_rows_too_small_for_float16_survive() -> None:
    w = torch.stack([torch.zeros(8), torch.full((8,), 1e-9), torch.full((8,), 3e-7), torch.full((8,), -5.0)])
    matrix = quantize_rows(w)
    assert float(matrix.scale[0]) == 0 and not matrix.q[0].any()
    assert torch.isfinite(matrix.dequantize()).all()
    assert ((matrix.dequantize() - w).abs() <= torch.tensor([0, 2**-25, 2**-25, 0.003])[:, None]).all()


@pytest.mark.parametrize("entry", [float("nan"), float("inf"), float("-inf")])
def test_an_entry_that_is_not_finite_is_refused_with_the_matrix_named(entry: float) -> None:
    w = gaussian(3, 5)
    w[1, 2] = entry
    with pytest.raises(ArtifactError, match=r"layers.0.q: 1 of 15 entries are not finite"):
        quantize_rows(w, name="layers.0.q")


def test_entries_too_large_for_the_scale_are_refused_with_the_matrix_named() -> None:
    with pytest.raises(ArtifactError, match="embed: entries up to 1e"):
        quantize_rows(torch.full((1, 4), 1e9), name="embed")
    assert torch.isfinite(quantize_rows(torch.full((1, 4), 65504.0 * 127)).dequantize()).all()


def test_shapes_and_levels_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        quantize_rows(torch.ones(3))
    for levels in (0, 128):
        with pytest.raises(ValueError, match="levels"):
            quantize_rows(torch.ones(3, 3), levels=levels)


def test_empty_matrices_stay_empty() -> None:
    for shape in ((0, 4), (4, 0)):
        assert quantize_rows(torch.empty(shape)).dequantize().shape == shape


def test_the_matrix_itself_is_not_touched_and_gets_no_gradient() -> None:
    w = torch.nn.Parameter(gaussian())
    matrix = quantize_rows(w)
    assert torch.equal(w, gaussian()) and not matrix.dequantize().requires_grad

"""Quantising any finite matrix is off by half a step at most, or the entry sits at the clip."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regrow.artifact.quantise_weights import quantize_rows


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.floats(-65504, 65504, width=32),
    ),
    st.integers(1, 127),
)
def test_half_a_step_or_the_clip(entries: np.ndarray, levels: int) -> None:
    matrix = quantize_rows(torch.from_numpy(entries), levels=levels)
    error = np.abs(matrix.dequantize().numpy() - entries)
    half_step = matrix.scale.float().numpy()[:, None] * 0.50001
    at_clip = np.abs(matrix.q.numpy().astype(int)) == levels
    smallest = 2.0**-25  # entries below the smallest float16 step are rounded to a whole number of those
    assert (at_clip | (error <= np.maximum(half_step, smallest))).all()

"""Trained matrices as small integers: one float16 step per row, symmetric around zero.

The step is the row's largest entry over `levels`, or a fraction of that (the row is then clipped) where the
squared error of the whole row is lower for it; clipping by least squared error is an old idea (ACIQ, Banner
et al. 2019). Fewer levels than 127 mean a larger step, hence fewer bits after entropy coding: about one bit
an entry for each halving.

Shape suffixes: R rows, K columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from regrow.core.errors import ArtifactError

MAX_LEVELS = 127
_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4)
_SMALLEST_STEP = 2.0**-24  # the smallest float16 above zero
_LARGEST_STEP = 65504.0


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """`q` int8 [R, K] within +-levels and `scale` float16 [R], the steps; a row of zeros has scale 0."""

    q: torch.Tensor
    scale: torch.Tensor

    def dequantize(self) -> torch.Tensor:
        """q times its row's scale, float32 [R, K]; exact up to one rounding, the same bits everywhere."""
        return self.q.to(torch.float32) * self.scale.to(torch.float32)[:, None]


def quantize_rows(w_RK: torch.Tensor, *, levels: int = MAX_LEVELS, name: str = "matrix") -> QuantizedMatrix:
    """Round every row of a matrix [R, K] to whole multiples of its own step; `name` is for error messages.

    Every entry within the row's clip is off by at most half a step. Raises ArtifactError, naming the
    matrix, for entries that are not finite or too large for a float16 step; ValueError for another shape or
    levels beyond 127.
    """
    if w_RK.dim() != 2:
        raise ValueError(f"{name}: a matrix has 2 dimensions, got {w_RK.dim()}")
    if not 1 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels must be 1 to {MAX_LEVELS}, got {levels}")
    w_RK = w_RK.detach().to(torch.float32)
    wrong = int((~torch.isfinite(w_RK)).sum())
    if wrong:
        raise ArtifactError(
            f"{name}: {wrong} of {w_RK.numel()} entries are not finite; "
            "train again with a lower learning rate."
        )
    peak_R = w_RK.abs().amax(dim=1) if w_RK.shape[1] else w_RK.new_zeros(w_RK.shape[0])
    if bool((peak_R > _LARGEST_STEP * levels).any()):
        raise ArtifactError(
            f"{name}: entries up to {float(peak_R.max()):.3g} are beyond what a float16 scale holds; "
            "train again with a lower learning rate."
        )
    best_R = torch.full_like(peak_R, torch.inf)
    scale_R = torch.zeros_like(peak_R, dtype=torch.float16)
    for clip in _CLIPS:
        # The error is judged with the step as stored, in float16, not with the step that was meant.
        step_R = (peak_R * (clip / levels)).clamp(_SMALLEST_STEP, _LARGEST_STEP).to(torch.float16)
        error_R = (_round(w_RK, step_R, levels) * step_R[:, None].float() - w_RK).square().sum(dim=1)
        scale_R = torch.where(error_R < best_R, step_R, scale_R)
        best_R = torch.minimum(error_R, best_R)
    q_RK = _round(w_RK, scale_R.clamp(min=_SMALLEST_STEP), levels)
    return QuantizedMatrix(q_RK.to(torch.int8), torch.where(peak_R > 0, scale_R, torch.zeros_like(scale_R)))


def _round(w_RK: torch.Tensor, step_R: torch.Tensor, levels: int) -> torch.Tensor:
    return (w_RK / step_R[:, None].float()).round().clamp(-levels, levels)

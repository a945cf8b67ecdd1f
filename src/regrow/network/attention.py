"""Causal attention within a window, as three batched matrix products and one exponential.

Queries and keys are normalised before they come here, so a score is bounded by the query gain times sqrt(E) and the
exponential needs no running maximum: softmax is exp(s) / sum exp(s) as written. Scores are formed only inside the
band: time is cut into blocks of one window, and a block attends to itself and to the block before it.

Legend: B batch, T time, H query heads, K key/value heads, E head width, W window, N blocks of W tokens.
Source: block-local attention as in Longformer (Beltagy et al. 2020); normalised queries and keys, Henry et al. 2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SCORE = 60.0  # exp(60) times any window stays far inside bfloat16's and float32's range


def band_mask(window: int, blocks: int, device: torch.device | str, *, with_past: bool) -> Tensor:
    """1 where query i of a block may see key j, else 0: float32 [1, N, 1, 1, W, 2W], or [.., W, W] for one block.

    Keys of the block before come first. Without a past, the first block's keys of the block before do not exist; a
    single block without a past gets the square form, which has no such keys at all.
    """
    i = torch.arange(window, device=device)[:, None]
    if blocks == 1 and not with_past:
        return (torch.arange(window, device=device)[None, :] <= i).float()[None, None, None, None]
    j = torch.arange(2 * window, device=device)[None, :] - window
    band = ((j <= i) & (j > i - window)).float().expand(blocks, window, 2 * window).clone()
    if not with_past:
        band[0, :, :window] = 0.0
    return band[None, :, None, None]


def band_attention(
    q_BTHE: Tensor,
    k_BTKE: Tensor,
    v_BTKE: Tensor,
    past_k_BWKE: Tensor | None,
    past_v_BWKE: Tensor | None,
    mask: Tensor,
) -> Tensor:
    """Attention output [B, T, H * E]; T is a multiple of the window, which is the mask's second last axis.

    `past_*` are the W keys and values before the first token (None: the text begins here, and the mask says so).
    Queries come already multiplied by gain / sqrt(E).
    """
    B, T, H, E = q_BTHE.shape
    K, W = k_BTKE.size(2), mask.size(-2)
    N, G = T // W, H // K
    q = q_BTHE.reshape(B, N, W, K, G, E).permute(0, 1, 3, 4, 2, 5).reshape(B * N * K, G * W, E)

    def keys(x_BTKE: Tensor, past: Tensor | None) -> Tensor:
        x = x_BTKE.reshape(B, N, W, K, E)
        if mask.size(-1) > W:
            before = F.pad(x[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
            if past is not None:
                before = torch.cat((past.unsqueeze(1), x[:, :-1]), dim=1)
            x = torch.cat((before, x), dim=2)
        return x.permute(0, 1, 3, 2, 4).reshape(B * N * K, mask.size(-1), E)

    scores = torch.bmm(q, keys(k_BTKE, past_k_BWKE).transpose(1, 2))
    weights = scores.float().exp().view(B, N, K, G, W, -1) * mask
    weights = weights.to(q.dtype).view(B * N * K, G * W, -1)
    total = weights.float().sum(-1, keepdim=True)
    mixed = (torch.bmm(weights, keys(v_BTKE, past_v_BWKE)).float() / total).to(q.dtype)
    return mixed.view(B, N, K, G, W, E).permute(0, 1, 4, 2, 3, 5).reshape(B, T, H * E)


def step_attention(q_SHE: Tensor, k_SKWE: Tensor, v_SKWE: Tensor, seen_W: Tensor) -> Tensor:
    """The same for one new token a stream against a ring of W keys: [S, H * E]. `seen_W` is 1 for filled slots."""
    S, H, E = q_SHE.shape
    K = k_SKWE.size(1)
    q = q_SHE.reshape(S * K, H // K, E)
    scores = torch.bmm(q, k_SKWE.flatten(0, 1).transpose(1, 2))
    weights = (scores.float().exp() * seen_W).to(q.dtype)
    total = weights.float().sum(-1, keepdim=True)
    mixed = (torch.bmm(weights, v_SKWE.flatten(0, 1)).float() / total).to(q.dtype)
    return mixed.reshape(S, H * E)

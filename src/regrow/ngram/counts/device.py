"""Windows counted on a torch device, where the tokens live: plain tensor operations, on CUDA or a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regrow.ngram.counts.keys import token_bits, word_sizes
from regrow.ngram.counts.runs import SortedRun

_SIGN = -(2**63)


def count_windows(tokens_T: Tensor, before: Tensor, order: int, vocab_size: int, bos_id: int) -> SortedRun:
    """The windows of `tokens_T` (int64 [T]), of which `before` holds the `order - 1` tokens to the left."""
    bits = token_bits(vocab_size)
    joined = torch.cat((before, tokens_T))
    counted = torch.arange(len(joined), device=joined.device) >= len(before)
    heads = joined == bos_id
    repeats = torch.where(heads, max(order - 1, 1), 1)
    stream = joined.repeat_interleave(repeats)
    windows = stream.unfold(0, order, 1)[(counted & ~heads).repeat_interleave(repeats)[order - 1 :]]
    fields = torch.cat((windows[:, :-1].flip(1), windows[:, -1:]), dim=1)
    words, at = [], 0
    for size in word_sizes(order, bits):
        word = fields[:, at].clone()
        for i in range(at + 1, at + size):
            word = (word << bits) | fields[:, i]
        words.append(word)
        at += size
    perm = torch.arange(len(fields), device=fields.device)
    for word in words[::-1]:
        # Keys are unsigned: with the top bit flipped, signed order is theirs.
        perm = perm[torch.argsort((word ^ _SIGN)[perm], stable=True)]
    stacked = torch.stack([word[perm] for word in words])
    new = torch.ones(len(perm), dtype=torch.bool, device=perm.device)
    new[1:] = (stacked[:, 1:] != stacked[:, :-1]).any(dim=0)
    starts = torch.nonzero(new).flatten()
    counts = torch.diff(starts, append=starts.new_tensor([len(perm)]))
    keys = stacked[:, starts].cpu().numpy().view(np.uint64)
    return SortedRun(order, bits, keys, counts.cpu().numpy().astype(np.uint32))

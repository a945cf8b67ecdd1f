"""The same work on a torch device: windows counted, and rows computed, where the tensors live.

Plain tensor operations, so it runs on CUDA and, for tests, on the CPU. There it is several times slower than
`regrow.ngram.rows`, and its temporary arrays are larger; see dev/LOG.md.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from regrow.ngram.keys import token_bits, word_sizes
from regrow.ngram.model import NgramModel
from regrow.ngram.runs import Run

_SIGN = -(2**63)


def count_windows(tokens_T: Tensor, before: Tensor, order: int, vocab_size: int, bos_id: int) -> Run:
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
    return Run(order, bits, keys, counts.cpu().numpy().astype(np.uint32))


@dataclasses.dataclass(frozen=True)
class DeviceModel:
    """A copy of an `NgramModel` on a torch device. int64 and int32 indices: torch has no other that index."""

    model: NgramModel
    child_start: Tensor
    child_token: Tensor
    succ_start: Tensor
    succ_token: Tensor
    succ_mass: Tensor
    gamma: Tensor
    base_BV: Tensor

    @classmethod
    def copy_of(cls, model: NgramModel, device: torch.device | str) -> DeviceModel:
        def put(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], dtype: torch.dtype) -> Tensor:
            wide = array.astype(np.int32) if array.dtype == np.uint16 else array
            return torch.from_numpy(wide).to(device=device, dtype=dtype)

        trie = model.trie
        return cls(
            model,
            put(trie.child_start_P1, torch.int64),
            put(trie.child_token_M, torch.int32),
            put(trie.succ_start_M1, torch.int64),
            put(trie.succ_token_E, torch.int32),
            put(trie.succ_mass_E, torch.float32),
            put(trie.gamma_M, torch.float64),
            put(model.base_BV, torch.float32),
        )

    def probs(self, contexts_RC: Tensor) -> Tensor:
        """float32 [R, V]: the distribution after each context, as `NgramModel.probs` gives it."""
        rows, width = contexts_RC.shape
        vocab, base_order = self.model.vocab_size, self.model.base_order
        contexts = contexts_RC.long()
        node = contexts[:, -1] if width and self.model.max_order > 1 else contexts.new_full((rows,), -1)
        seen = node >= 0
        node = node.clamp(min=0)
        seen &= self.succ_start[node] < self.succ_start[node + 1]
        path = [(seen, node)]
        for order in range(3, min(self.model.max_order, width + 1) + 1):
            seen, node = self._older(seen, node, contexts[:, width - order + 1])
            path.append((seen, node))
        expanded = path[base_order - 1 :]
        scales, left = [], torch.ones(rows, dtype=torch.float64, device=contexts.device)
        for seen, node in reversed(expanded):
            scales.append(left)
            left = torch.where(seen, left * self.gamma[node], left)
        row = torch.where(path[0][0], path[0][1], vocab) if base_order == 2 else torch.zeros_like(path[0][1])
        probs = self.base_BV[row] * left.float().clamp(min=1e-20)[:, None]
        flat = probs.view(-1)
        for (seen, node), scale in zip(reversed(expanded), scales, strict=True):
            which = torch.nonzero(seen).flatten()
            start, stop = self.succ_start[node[which]], self.succ_start[node[which] + 1]
            size = stop - start
            entry = torch.arange(int(size.sum()), device=size.device)
            entry += (start - (size.cumsum(0) - size)).repeat_interleave(size)
            of = which.repeat_interleave(size)
            # The tokens after one context are distinct, so no two additions of a call meet.
            flat.index_add_(0, of * vocab + self.succ_token[entry], self.succ_mass[entry] * scale.float()[of])
        return probs

    def _older(self, seen: Tensor, node: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """The contexts one token longer, where they were seen: a binary search in each node's children."""
        low, end = self.child_start[node], self.child_start[node + 1]
        high, last = end, len(self.child_token) - 1
        for _ in range(token_bits(self.model.vocab_size) + 1):
            mid = (low + high) >> 1
            less = (self.child_token[mid.clamp(max=last)] < wanted) & (low < high)
            high = torch.where(less | (low >= high), high, mid)
            low = torch.where(less, mid + 1, low)
        found = seen & (low < end) & (self.child_token[low.clamp(max=last)] == wanted)
        return found, torch.where(found, low, 0)

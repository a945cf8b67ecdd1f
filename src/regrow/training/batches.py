"""Which tokens each training step sees, and what the memory may know of them.

The training text is cut into windows of `seq_len` tokens. A share of its document groups is kept for the end of the run
(the *joint phase*): the network meets them there for the first time, so what network and memory predict of them, before
either learns from them, is honest held-out evidence for the mixer, and nothing is lost, since both learn from them in
the end. The joint phase comes in folds; while a fold is scored, the memory does without that fold's documents.
Where the network reads the memory, a joint phase that is longer than its folds begins with parts of the main phase,
each predicted without itself; elsewhere it is as long as its folds.

Legend: B sequences of a batch, T tokens of a sequence, C context tokens the memory looks back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regrow.data.dataset import Dataset
from regrow.ngram.contexts import contexts_of
from regrow.ngram.recent import Past, Recent, recent
from regrow.predict.lockstep import IGNORED

_PIECES = 64  # a text of few documents is cut into this many pieces that are left out instead


class Part:
    """A token stream whose windows are drawn from: documents that each begin with BOS, padded with BOS to
    whole windows."""

    def __init__(self, tokens: NDArray[np.uint16], seq_len: int, bos_id: int) -> None:
        self.seq_len, self.bos_id = seq_len, bos_id
        self.windows = -(-len(tokens) // seq_len)
        self.text = tokens  # without the padding
        padding = np.full(self.windows * seq_len - len(tokens), bos_id, tokens.dtype)
        self.tokens = np.concatenate((tokens, padding))

    def targets(self, index_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows' tokens [B, T]; BOS, which is never predicted, is IGNORED."""
        tokens_BT = self.tokens.reshape(self.windows, self.seq_len)[index_B].astype(np.int64)
        return np.where(tokens_BT == self.bos_id, IGNORED, tokens_BT)

    def contexts(self, index_B: NDArray[np.int64], width: int) -> NDArray[np.int32]:
        """What the memory sees before each target: [B * T, C], within the document."""
        T = self.seq_len
        return np.concatenate(
            [
                contexts_of(self.tokens, width, self.bos_id, start=i * T, stop=i * T + T)
                for i in index_B.tolist()
            ]
        )

    def inputs(self, index_B: NDArray[np.int64], reach: int) -> NDArray[np.int32]:
        """The token before each target, and `reach` more before the first: [B, reach + T]; -1 where there is none."""
        T = self.seq_len
        inputs = np.full((len(index_B), reach + T), -1, np.int32)
        for row, i in zip(inputs, index_B.tolist(), strict=True):
            piece = self.tokens[max(0, i * T - 1 - reach) : i * T + T - 1]
            row[len(row) - len(piece) :] = piece
        return inputs

    def recent(self, index_B: NDArray[np.int64], past: Past, threads: int) -> Recent:
        """What followed in the text before each target: R = B * T."""
        return recent(self.inputs(index_B, past.reach), self.seq_len, past, threads=threads)


@dataclass(frozen=True)
class Plan:
    """The text of the main phase, drawn from again and again, and the folds of the joint phase, met once at the end.

    The main phase's text is one part, or several of which the memory does without the one that is trained on.
    """

    mains: list[Part]
    folds: list[Part]
    seed: int = 0

    @property
    def main(self) -> Part:
        """The main phase's only part."""
        (part,) = self.mains
        return part

    @property
    def parts(self) -> list[Part]:
        """All of them."""
        return [*self.mains, *self.folds]

    @classmethod
    def of(cls, data: Dataset, seq_len: int, share: float, folds: int, seed: int, *, mains: int = 1) -> Plan:
        """Split `data`'s document groups at random by `seed`: about `share` of the tokens for the joint phase, the rest
        in `mains` parts of like size.

        With fewer groups than folds ask for, the text is cut into pieces that stand for groups. A share of 0: no folds.
        """
        tokens = np.asarray(data.train_tokens)
        bos = data.tokenizer.bos_id
        starts: NDArray[np.int64] = np.asarray(data.doc_offsets, np.int64)
        groups: NDArray[np.int64] = np.asarray(data.doc_groups, np.int64)
        if len(np.unique(groups)) < 4 * max(folds, mains if mains > 1 else 0):
            starts = np.linspace(0, len(tokens), min(_PIECES, max(1, len(tokens) // seq_len)) + 1).astype(
                np.int64
            )[:-1]
            groups = np.arange(len(starts), dtype=np.int64)
        ends = np.append(starts[1:], len(tokens))
        order = np.random.Generator(np.random.PCG64(seed)).permutation(np.unique(groups))
        sizes = {int(g): 0 for g in order}
        for start, end, group in zip(starts, ends, groups, strict=True):
            sizes[int(group)] += int(end - start)
        wanted = share * len(tokens) / max(folds, 1)
        fold_of: dict[int, int] = {}
        fold, filled = 0, 0
        for g in order.tolist():
            if share <= 0 or fold >= folds or len(fold_of) >= len(order) // 2:
                break
            fold_of[g] = fold
            filled += sizes[g]
            if filled >= wanted:
                fold, filled = fold + 1, 0

        rest = [g for g in order.tolist() if g not in fold_of]
        whole, passed = sum(sizes[g] for g in rest), 0
        for g in rest:  # below 0: of the main phase
            fold_of[g] = min(mains - 1, mains * passed // whole) - mains
            passed += sizes[g]

        def part(wanted: int) -> Part:
            pieces = [
                tokens[s:e] for s, e, g in zip(starts, ends, groups, strict=True) if fold_of[int(g)] == wanted
            ]
            return Part(np.concatenate(pieces), seq_len, bos)

        kinds = sorted(set(fold_of.values()))
        return cls([part(f) for f in kinds if f < 0], [part(f) for f in kinds if f >= 0], seed)


def shuffled_batches(part: Part, batch: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Window indices [B] of all processes together, without end: every window once in a random order, then again in
    another.

    Process r takes every r-th of world size, so the batches are the same for any number of processes.
    """
    pending = np.empty(0, np.int64)
    while True:
        while len(pending) < batch:
            pending = np.concatenate((pending, generator.permutation(part.windows)))
        yield pending[:batch]
        pending = pending[batch:]

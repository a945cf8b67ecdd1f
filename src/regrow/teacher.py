"""The memory while a network trains: what it says of a batch before it has counted that batch.

Two honest orders. `ahead`: the whole training text is counted first, and a batch is predicted by those counts less the
counts of the batch's own fold of documents. `prequential`: a batch is predicted by the memory as it stood
before, then added.

Legend: B sequences, T tokens of a sequence, R = B * T rows, V vocabulary.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.batches import Part, Plan
from regrow.config import MemoryConfig
from regrow.mixer import MemoryRows
from regrow.ngram import NgramCounts
from regrow.ngram.kinds import Memory, model_of, new_counts

_GROWTH = 1.1  # prequential: estimate anew once the counts have grown by a tenth


class Teacher:
    """Counts, and rows of the memory for the closing part's batches. `count_seconds`, `score_seconds`: time spent."""

    def __init__(self, config: MemoryConfig, plan: Plan, vocab_size: int, bos_id: int) -> None:
        self._config, self._plan, self._bos_id = config, plan, bos_id
        self._vocab_size = vocab_size
        self.count_seconds = self.score_seconds = 0.0
        self._model: Memory | None = None
        self._model_of: Part | None = None
        self._model_total = 0
        parts = [plan.opening, *plan.folds]
        self._counted = {id(part): np.zeros(part.windows, bool) for part in parts}
        started = time.perf_counter()
        self.counts = self._new_counts()
        if config.fill == "ahead":
            for part in parts:
                self.counts.add(part.text)
        self.count_seconds += time.perf_counter() - started

    def rows(self, part: Part, index_B: NDArray[np.int64], device: torch.device) -> MemoryRows:
        """What the memory says of these windows' tokens without having counted them (see the module)."""
        started = time.perf_counter()
        if self._config.fill == "ahead":
            if self._model_of is not part:
                own = self._new_counts()
                own.add(part.text)
                self._model, self._model_of = model_of(self.counts.subtract(own)), part
        elif self._model is None or self.counts.total > _GROWTH * self._model_total:
            self._model, self._model_total = model_of(self.counts), self.counts.total
        assert self._model is not None
        rows = MemoryRows.of(self._model.rows(part.contexts(index_B, self._config.max_order - 1)), device)
        self.score_seconds += time.perf_counter() - started
        return rows

    def learn(self, part: Part, index_B: NDArray[np.int64]) -> None:
        """The network has trained on these windows. Counted ahead, they are known already; else they are added once."""
        counted = self._counted[id(part)]
        fresh = index_B[~counted[index_B]]
        counted[fresh] = True
        if self._config.fill == "ahead":
            return
        started = time.perf_counter()
        back = self._config.max_order - 1
        for i in fresh.tolist():
            start = i * part.seq_len
            self.counts.add(
                part.tokens[start : start + part.seq_len], history=part.tokens[max(0, start - back) : start]
            )
        self.count_seconds += time.perf_counter() - started

    def seen_text(self) -> NDArray[np.uint16]:
        """The text that was counted batch by batch, in the order of the parts; a gap becomes the start of a
        document."""
        pieces: list[NDArray[np.uint16]] = []
        for part in (self._plan.opening, *self._plan.folds):
            counted = self._counted[id(part)]
            for i in np.flatnonzero(counted).tolist():
                piece = part.tokens[i * part.seq_len : (i + 1) * part.seq_len]
                if (i == 0 or not counted[i - 1]) and piece[0] != self._bos_id:
                    pieces.append(np.array([self._bos_id], piece.dtype))
                pieces.append(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint16)

    def _new_counts(self) -> NgramCounts:
        return new_counts(self._config, self._vocab_size, bos_id=self._bos_id)

"""The memory while a network trains: what it predicts of a batch before it has counted that batch.

Two honest orders. `ahead`: the whole training text is counted first, and a batch is predicted by those counts less the
counts of the batch's own fold of documents; the first fold also fits the discounts. `prequential`: a batch is predicted
by the memory as it stood before, then added.

Several processes count a share each and merge their counts exactly (`merge_processes`), ahead once for the whole text,
prequentially each time the model is estimated anew; its predictions are the same for any number of processes.

Legend: B sequences, T tokens of a sequence, R = B * T rows, V vocabulary.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.core.config.schema import MemoryConfig
from regrow.core.dist import ProcessGroup
from regrow.network.mixer import MemoryRows
from regrow.network.transformer import Transformer
from regrow.ngram.counts.merge_processes import count_piece, merge_whole, piece_of
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.memory import Counts, Memory, model_of, new_counts
from regrow.ngram.model.discount_fit import tune_on_folds
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.likeliest import Likeliest, likeliest, likeliest_of
from regrow.training.batches import Part, Plan

_GROWTH = 1.1  # prequential: estimate anew once the counts have grown by a tenth


class Reading(NamedTuple):
    """What a step reads of the memory: its likeliest tokens [R, K], and rows [R, V] to be mixed with."""

    likeliest: Likeliest | None = None
    rows: MemoryRows | None = None


class TrainingMemory:
    """Counts, and rows of the memory for the joint phase's batches.

    `counts`: of all processes as of the last `merge`. `count_seconds`, `score_seconds`: time spent, merging in the
    former. With a `group`, all its processes must make the same calls; `learn` takes the batch of all of them.
    """

    def __init__(
        self,
        config: MemoryConfig,
        plan: Plan,
        vocab_size: int,
        bos_id: int,
        group: ProcessGroup | None = None,
    ) -> None:
        self._config, self._bos_id, self._vocab_size = config, bos_id, vocab_size
        self._group = group or ProcessGroup(0, 1, torch.device("cpu"))
        self._parts, self._seed = plan.parts, plan.seed
        self._folds = plan.folds
        self.count_seconds = self.score_seconds = self.merge_seconds = 0.0
        self._model: Memory | None = None
        self._whole: Memory | None = None
        self._model_of: Part | None = None
        self._fitted: list[Discounts] | None = None
        self._ahead = config.fill == "ahead"
        started = time.perf_counter()
        self.counts = self._new_counts()
        if self._ahead:
            self.counts = self._count_text([part.text for part in self._parts])
        else:
            self._counted = [np.zeros(part.windows, bool) for part in self._parts]
            self._modelled = [flags.copy() for flags in self._counted]  # what the model was estimated from
            # This process's share of what was counted since the last merge; alone there is nothing to merge.
            self._fresh = self.counts if self._group.world_size == 1 else self._new_counts()
            self._total = self._model_total = (
                0  # tokens counted by all processes, now and when last estimated
            )
        self.count_seconds += time.perf_counter() - started

    def read(self, part: Part, index_B: NDArray[np.int64], network: Transformer, *, joint: bool) -> Reading:
        """What the memory predicts of these windows' tokens without having counted them (see the module): what the
        network reads, if it does, and rows for the joint phase.

        `index_B`: this process's windows of a batch.
        """
        K, device = network.memory_input, network.embedding.device
        if not K and not joint:
            return Reading()
        started = time.perf_counter()
        model, threads = self._model_without(part), torch.get_num_threads()
        contexts, found = part.contexts(index_B, self._config.max_order - 1), None
        rows = model.rows(contexts, threads=threads) if joint else None
        if K:
            found = (
                likeliest(model, contexts, K, threads=threads)
                if rows is None
                else likeliest_of(rows.probs_RV, K)
            )
        reading = Reading(found, MemoryRows.of(rows, device) if rows else None)
        self.score_seconds += time.perf_counter() - started
        return reading

    def whole(self) -> Memory:
        """All that was counted ahead, as it will predict other text."""
        if self._whole is None:
            self._whole = self._estimated(self.counts)
        return self._whole

    def _model_without(self, part: Part) -> Memory:
        if self._ahead:
            if self._model_of is not part:
                self._model = None  # two at once would be a memory's size too much
                self._model, self._model_of = self._estimated(self._without(part)), part
        elif self._model is None or self._total > _GROWTH * self._model_total:
            self.merge()
            self._remember_model()
        assert self._model is not None
        return self._model

    def learn(self, part: Part, index_B: NDArray[np.int64]) -> None:
        """The processes have trained on these windows. Counted ahead, they are known; else they are added once."""
        if self._ahead:
            return
        started = time.perf_counter()
        which = next(i for i, known in enumerate(self._parts) if known is part)
        fresh = np.unique(index_B[~self._counted[which][index_B]])
        self._counted[which][fresh] = True
        self._total += int((part.tokens.reshape(-1, part.seq_len)[fresh] != self._bos_id).sum())
        self._add_windows(self._fresh, part, fresh[self._group.rank :: self._group.world_size])
        self.count_seconds += time.perf_counter() - started

    def merge(self) -> None:
        """Bring `counts` up to date with what all processes have counted."""
        if self._ahead or self._group.world_size == 1:
            return
        started = time.perf_counter()
        self.counts = self.counts.merge(merge_whole(self._fresh, self._group))
        self._fresh = self._new_counts()
        self.merge_seconds += time.perf_counter() - started

    def seen_text(self) -> NDArray[np.uint16]:
        """The text that was counted batch by batch, in the order of the parts; a gap becomes the start of a
        document."""
        pieces: list[NDArray[np.uint16]] = []
        for part, counted in zip(self._parts, self._counted, strict=True):
            for i in np.flatnonzero(counted).tolist():
                piece = part.tokens[i * part.seq_len : (i + 1) * part.seq_len]
                if (i == 0 or not counted[i - 1]) and piece[0] != self._bos_id:
                    pieces.append(np.array([self._bos_id], piece.dtype))
                pieces.append(piece)
        return np.concatenate(pieces) if pieces else np.empty(0, np.uint16)

    def state_dict(self) -> dict[str, Any]:
        """What restores the memory exactly: which windows are counted, and which the model was estimated from."""
        if self._ahead:
            return {}
        return {
            "counted": [torch.from_numpy(flags.copy()) for flags in self._counted],
            "modelled": [torch.from_numpy(flags.copy()) for flags in self._modelled],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count again what was counted by `state`, by any number of processes, and estimate as it was estimated."""
        if self._ahead:
            return
        counted, modelled = ([flags.numpy() for flags in state[key]] for key in ("counted", "modelled"))
        self._counted, self._modelled = modelled, modelled
        self.counts = self._count_flagged(modelled)
        self._total = self.counts.total
        if self._total:
            self._remember_model()
        rest = [now & ~before for now, before in zip(counted, modelled, strict=True)]
        self.counts = self.counts.merge(self._count_flagged(rest))
        self._counted, self._total = counted, self.counts.total
        self._fresh = self.counts if self._group.world_size == 1 else self._new_counts()

    def _remember_model(self) -> None:
        self._model, self._model_total = self._estimated(self.counts), self._total
        self._modelled = [flags.copy() for flags in self._counted]

    def _count_text(self, texts: list[NDArray[np.uint16]]) -> Counts:
        """The counts of whole texts, each process counting its piece of each."""
        counts = self._new_counts()
        for text in texts:
            count_piece(counts, text, self._group)
        started = time.perf_counter()
        merged = merge_whole(counts, self._group)
        self.merge_seconds += time.perf_counter() - started
        return merged

    def _count_flagged(self, flags_of: list[NDArray[np.bool_]]) -> Counts:
        """The counts of the windows that are flagged, each process counting a share."""
        counts = self._new_counts()
        for part, flags in zip(self._parts, flags_of, strict=True):
            index = np.flatnonzero(flags)
            mine = piece_of(len(index), self._group.rank, self._group.world_size)
            self._add_windows(counts, part, index[mine])
        return merge_whole(counts, self._group)

    def _add_windows(self, counts: Counts, part: Part, index: NDArray[np.int64]) -> None:
        """Count windows, ascending, neighbours as one stretch of text, with what stands before in their part."""
        back = self._config.max_order - 1
        for stretch in np.split(index, np.flatnonzero(np.diff(index) > 1) + 1) if len(index) else ():
            start, stop = int(stretch[0]) * part.seq_len, (int(stretch[-1]) + 1) * part.seq_len
            counts.add(part.tokens[start:stop], history=part.tokens[max(0, start - back) : start])

    @property
    def discounts(self) -> list[Discounts] | None:
        """Fitted to the first folds, each under the counts of all else; None where they are estimated from the counts.

        Always the first ones, and fitted when first asked for, so that a run that was resumed has the same.
        """
        if self._config.discounts == "fitted" and self._fitted is None and self._leaves_out:
            left_out = ((self._counts_without(fold), fold.text) for fold in self._folds)
            self._fitted = tune_on_folds(left_out, seed=self._seed, threads=torch.get_num_threads())
        return self._fitted

    @property
    def _leaves_out(self) -> bool:
        return self._config.kind == "exact" and self._ahead and bool(self._folds)

    def left_out(self) -> tuple[Part, NgramCounts] | None:
        """The first fold, and the counts of all else; None where no text is counted ahead and left out."""
        if not self._leaves_out:
            return None
        return self._folds[0], self._counts_without(self._folds[0])

    def _counts_without(self, part: Part) -> NgramCounts:
        counts = self._without(part)
        assert isinstance(counts, NgramCounts)
        return counts

    def leave_group(self) -> None:
        """Make all further calls in this process alone; its counts are those of all as of the last `merge`."""
        self._group = ProcessGroup(0, 1, self._group.device)

    def _without(self, part: Part) -> Counts:
        return self.counts.subtract(self._count_text([part.text]))

    def _estimated(self, counts: Counts) -> Memory:
        return model_of(counts, discounts=self.discounts, threads=torch.get_num_threads())

    def _new_counts(self) -> Counts:
        return new_counts(
            self._config, self._vocab_size, bos_id=self._bos_id, threads=torch.get_num_threads()
        )

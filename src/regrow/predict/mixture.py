"""The mixture: network and memory as one distribution over the next token, and what each of them reads to form it.

    p(next | prefix) = softmax(mixer(network.logits(h), memory.rows(contexts)))

h are the network's final states after the prefix, contexts its last tokens. Training, pruning, evaluation, test-time
training and the codec all cut inputs and contexts here and form the mixture here, so this is the place to see that a
row depends on the tokens before its own alone (tests/property/test_mixture.py).

Legend: S streams (or sequences of a batch), T tokens, R = S * T rows, V vocabulary, D width, C context tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.network.mixer import MemoryRows, Mixer
from regrow.network.transformer import Suggested, Transformer
from regrow.ngram.memory import Memory
from regrow.ngram.model.likeliest import Likeliest, likeliest
from regrow.ngram.recent import WEIGHT_BITS, Recent, recent
from regrow.predict.lockstep import IGNORED


class MixtureRows(NamedTuple):
    """R positions as float32 [R, V]: `mixture_RV` and `network_RV` unnormalised log probabilities, and the rows of
    the memory (None without one)."""

    mixture_RV: Tensor
    network_RV: Tensor
    memory: MemoryRows | None


def mixture_rows(
    network: Transformer, mixer: Mixer | None, hidden_RD: Tensor, memory: MemoryRows | None
) -> MixtureRows:
    """The equation above, before its softmax, of final states and the memory's rows at the same positions."""
    network_RV = network.logits(hidden_RD)
    if memory is None or mixer is None:
        return MixtureRows(network_RV, network_RV, None)
    return MixtureRows(mixer(network_RV, memory.log_probs_RV, memory.facts_RC), network_RV, memory)


def memory_rows(
    memory: Memory, contexts_RC: NDArray[np.int32], device: torch.device, threads: int | None
) -> MemoryRows:
    """The memory's rows for these contexts, on `device`."""
    return MemoryRows.of(memory.rows(contexts_RC, threads=threads), device)


@dataclass(frozen=True)
class Mixture:
    """The three parts of the equation, or without a mixer the network alone, which may read the memory. `bos_id`
    begins every text; `threads` are the memory's
    (None: all)."""

    network: Transformer
    bos_id: int
    memory: Memory | None = None
    mixer: Mixer | None = None
    threads: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.network.embedding.device

    @property
    def width(self) -> int:
        """Context tokens that the memory looks back, C."""
        return self.memory.max_order - 1 if self.memory else 0

    def suggested(self, known: Known) -> Suggested | None:
        """What the network reads beside the tokens, of the memory and of the text's recent past; None if nothing.

        Raises ValueError for a network that reads a memory where there is none.
        """
        found, threads = None, self.threads or torch.get_num_threads()
        if K := self.network.memory_input:
            if self.memory is None:
                raise ValueError("this network reads a memory, and there is none")
            found = likeliest(self.memory, known.contexts_RC, K, threads=threads)
        S, T = known.inputs_ST.shape
        followed = recent(known.whole_SH, T, self.network.past(self.bos_id), threads=threads)
        return suggested_of(found, followed, S, self.device)

    def rows(self, hidden_RD: Tensor, contexts_RC: NDArray[np.int32]) -> MixtureRows:
        """The mixture at R positions, of the network's final states and the memory's contexts there."""
        memory = None
        if self.memory and self.mixer:
            memory = memory_rows(self.memory, contexts_RC, self.device, self.threads)
        return mixture_rows(self.network, self.mixer, hidden_RD, memory)


def suggested_of(
    found: Likeliest | None, followed: Recent, sequences: int, device: torch.device
) -> Suggested | None:
    """What a network reads beside its tokens: what was `found` in the memory, and what `followed` in the text itself;
    None where that is nothing."""
    weights_RK = followed.weights_RK.astype(np.float32) / np.float32(1 << WEIGHT_BITS)
    parts = [*([found] if found else []), (followed.tokens_RK, weights_RK)]
    tokens, weights = (np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True))
    if tokens.shape[1] == 0:
        return None
    shape = (sequences, -1, tokens.shape[1])
    return Suggested(*(torch.from_numpy(part.reshape(shape)).to(device) for part in (tokens, weights)))


def network_inputs(
    targets_ST: NDArray[np.int64], bos_id: int, before_S: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """What the network reads to predict `targets_ST`: the token before each, `before_S` (None: BOS) before the first.

    A target that is IGNORED is read as BOS.
    """
    inputs_ST = np.empty_like(targets_ST)
    inputs_ST[:, 0] = bos_id if before_S is None else before_S
    inputs_ST[:, 1:] = known(targets_ST[:, :-1], bos_id)
    return inputs_ST


def known(tokens: NDArray[np.int64], bos_id: int) -> NDArray[np.int64]:
    """The tokens as network and memory read them: BOS for IGNORED ones."""
    return np.where(tokens == IGNORED, bos_id, tokens)


class Known(NamedTuple):
    """What is known before each of S * T tokens: what the network reads, `inputs_ST`, and the memory, `contexts_RC`;
    `before_SH`: the H inputs before the first (-1: none)."""

    inputs_ST: NDArray[np.int64]
    contexts_RC: NDArray[np.int32]
    before_SH: NDArray[np.int64]

    @property
    def whole_SH(self) -> NDArray[np.int64]:
        """All inputs [S, H + T]."""
        return np.concatenate((self.before_SH, self.inputs_ST), axis=1)

    def piece(self, start: int, stop: int) -> Known:
        """Of tokens start .. stop alone."""
        S, T = self.inputs_ST.shape
        C, stop = self.contexts_RC.shape[1], min(stop, T)
        contexts_STC = self.contexts_RC.reshape(S, T, C)[:, start:stop]
        before_SH = self.whole_SH[:, start : start + self.before_SH.shape[1]]
        return Known(self.inputs_ST[:, start:stop], contexts_STC.reshape(S * (stop - start), C), before_SH)


class Prefix:
    """The end of S streams' known text: the last inputs, and the last C tokens as the memory's context (-1 before BOS).
    `reach`: how far back the network looks for recent text."""

    def __init__(self, streams: int, width: int, bos_id: int, reach: int = 0) -> None:
        self._bos_id = bos_id
        self._inputs_SH: NDArray[np.int64] = np.full((streams, reach + 1), -1, np.int64)
        self._inputs_SH[:, -1] = bos_id
        self.context_SC: NDArray[np.int32] = np.full((streams, width), -1, np.int32)
        self.context_SC[:, -1:] = bos_id

    @classmethod
    def of(cls, mixture: Mixture, streams: int) -> Prefix:
        """Nothing is known but that S texts begin."""
        return cls(streams, mixture.width, mixture.bos_id, mixture.network.past(mixture.bos_id).reach)

    @property
    def last_S(self) -> NDArray[np.int64]:
        """The streams' last tokens, which the network has not read."""
        return self._inputs_SH[:, -1]

    def next(self) -> Known:
        """What is known before each stream's next token alone."""
        return Known(self._inputs_SH[:, -1:], self.context_SC, self._inputs_SH[:, :-1])

    def extend(self, tokens_ST: NDArray[np.int64]) -> None:
        """These tokens are known too."""
        tokens_ST = known(tokens_ST, self._bos_id)
        width, kept = self.context_SC.shape[1], self._inputs_SH.shape[1]
        self._inputs_SH = np.concatenate((self._inputs_SH, tokens_ST), axis=1)[:, -kept:]
        joined = np.concatenate((self.context_SC, tokens_ST.astype(np.int32)), axis=1)
        self.context_SC = joined[:, joined.shape[1] - width :].copy()

    def read(self, tokens_ST: NDArray[np.int64]) -> Known:
        """What stands before each of the next tokens; then `extend`."""
        width, before_SH = self.context_SC.shape[1], self._inputs_SH[:, :-1]
        inputs_ST = network_inputs(tokens_ST, self._bos_id, self.last_S)
        if width:
            before = known(tokens_ST[:, :-1], self._bos_id).astype(np.int32)
            whole = np.concatenate((self.context_SC, before), axis=1)
            contexts_RC = np.lib.stride_tricks.sliding_window_view(whole, width, axis=1).reshape(-1, width)
        else:
            contexts_RC = np.empty((tokens_ST.size, 0), np.int32)
        self.extend(tokens_ST)
        return Known(inputs_ST, contexts_RC, before_SH)

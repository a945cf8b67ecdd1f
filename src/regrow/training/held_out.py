"""Held-out text while a network trains: its bits per byte every so many steps, and the best weights so far."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from regrow.core.config.schema import EvalConfig
from regrow.core.dist import ProcessGroup
from regrow.data.dataset import Dataset
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory
from regrow.predict.evaluation import score_streams
from regrow.predict.mixture import Mixture

_TOKENS, _PIECES = 8192, 8  # of a longer text, this many pieces from all over it stand for the whole


class HeldOut:
    """Looks at the held-out text of `data`. `worse`: looks since the best one."""

    def __init__(self, data: Dataset, settings: EvalConfig) -> None:
        tokens = np.asarray(data.val_tokens)
        size = _TOKENS // _PIECES
        starts = np.linspace(0, len(tokens) - size, _PIECES).astype(int).tolist()
        self._pieces: list[NDArray[np.uint16]] = (
            [tokens] if len(tokens) <= _TOKENS else [tokens[at : at + size] for at in starts]
        )
        self._bytes = len(data.tokenizer.decode(np.concatenate(self._pieces)))
        self._bos_id, self._settings = data.tokenizer.bos_id, settings
        self.best, self.worse = math.inf, 0
        self._weights: dict[str, Tensor] = {}

    @property
    def tokens(self) -> int:
        """Tokens that a look scores."""
        return sum(map(len, self._pieces))

    def look(self, network: Transformer, memory: Memory | None, group: ProcessGroup | None = None) -> float:
        """Bits per byte under the network alone, of which the processes of `group` each compute a share; `memory` for
        a network that reads it."""
        mixture = Mixture(network, self._bos_id, memory)
        nats = score_streams(mixture, self._settings, self._pieces, group=group).network
        bpb = float(nats.sum()) / math.log(2) / self._bytes
        if bpb < self.best:
            self.best, self.worse = bpb, 0
            self._weights = {name: p.detach().clone() for name, p in network.state_dict().items()}
        else:
            self.worse += 1
        return bpb

    def restore(self, *networks: Transformer | None) -> None:
        """Give the networks the weights of the best look."""
        for network in networks:
            if network is not None and self._weights:
                network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        return {"best": self.best if self._weights else None, "worse": self.worse, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.best = math.inf if state["best"] is None else state["best"]
        self.worse, self._weights = state["worse"], dict(state["weights"])

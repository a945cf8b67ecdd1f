"""The state of a run under way: what learns, which batches were drawn, how far it has come. A checkpoint holds it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.core.config.load import config_toml
from regrow.core.config.schema import Config
from regrow.core.dist import ProcessGroup
from regrow.core.run_folder import new_run_id
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.memory import Memory
from regrow.training.batches import Part, Plan, shuffled_batches
from regrow.training.held_out import HeldOut
from regrow.training.memory import TrainingMemory
from regrow.training.optim import Optimiser

_MAIN_PARTS = 4  # of the main phase's text, left out in turn where the network reads the memory


class TrainingState:
    """Network, mixer and memory with their optimisers, and the counters of a run.

    `averaged`: the moving average of the network, if any; `memory`: None where nothing is mixed. `tokens` were trained
    on, `warm_tokens` of them while the clock stood; `elapsed` seconds of training, `communication` of them sending to
    other processes and waiting for them.
    """

    def __init__(self, config: Config, data: Dataset, group: ProcessGroup) -> None:
        self.config, self.data = config, data
        self.run = new_run_id()  # what rank 0 drew is in the files
        t = config.train
        self.dtype = compute_dtype(group.device)
        self.network = Transformer(config.model, data.vocab_size, t.seq_len, t.seed).to(group.device)
        self.mixer = Mixer(config.mixer, torch.Generator().manual_seed(t.seed)).to(group.device)
        self.optimiser = Optimiser(self.network, t, self.dtype, group)
        self.mixer_optimiser = torch.optim.AdamW(
            self.mixer.parameters(), lr=t.lr_mixer, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.averaged = copy.deepcopy(self.network) if t.ema > 0 else None
        mixing = config.memory.kind != "none" and config.mixer.kind != "none"
        share, mains = (t.closing if mixing else 0.0), (_MAIN_PARTS if self.network.memory_input else 1)
        plan = Plan.of(data, t.seq_len, share, max(1, config.memory.folds), t.seed, mains=mains)
        bos_id = data.tokenizer.bos_id
        self.memory = TrainingMemory(config.memory, plan, data.vocab_size, bos_id, group) if mixing else None
        self.held_out = HeldOut(data, config.eval) if t.eval_every else None
        self._over_at: float | None = None  # share of the run at which the main phase ended
        self._skipped = 0.0  # share of the run that ending the main phase early left out
        self.step = self.tokens = self.warm_tokens = 0
        self.elapsed = self.communication = 0.0
        self._parts, self._mains = plan.parts, len(plan.mains)
        self._draws = [0] * len(self._parts)
        self._joint_batches: float | None = None  # how many the joint phase will have, once it begins
        self._batch_size = t.batch_tokens // t.seq_len
        self._batches: list[Iterator[NDArray[np.int64]]] = [
            shuffled_batches(p, self._batch_size, np.random.Generator(np.random.PCG64([t.seed, i])))
            for i, p in enumerate(self._parts)
        ]

    @property
    def done(self) -> float:
        """Share of the first limit that is used up, the same in every process."""
        t = self.config.train
        return self._skipped + max(
            self.step / t.max_steps if t.max_steps else 0.0,
            self.tokens / t.max_tokens if t.max_tokens else 0.0,
            self.elapsed / t.max_seconds if t.max_seconds else 0.0,
        )

    @property
    def _main_over(self) -> bool:
        """Whether the main phase has ended."""
        return self._over_at is not None

    @property
    def scheduled(self) -> float:
        """Where the learning rates stand between 0 and 1: `done`, but the joint phase has the last `train.closing` of
        them however few its batches are."""
        planned, main = 1 - self.config.train.closing, self._main_share
        if main in (planned, 1.0):
            return self.done
        if not self._main_over:
            return planned * self.done / main
        return 1 - (1 - planned) * (1 - self.done) / (1 - main)

    @property
    def _main_share(self) -> float:
        """Of the run, what the main phase has; the joint phase follows.

        A text that the joint phase meets again the network knows by heart, and the mixer learns to trust it. Where the
        main phase has no parts to predict without themselves (`_joint_part`), the joint phase is as long as its folds.
        """
        planned = 1 - self.config.train.closing
        if len(self._parts) == self._mains:
            return 1.0
        if self._mains > 1 or self._over_at is not None:
            return planned if self._over_at is None else self._over_at
        passed = self.done - self._skipped
        steps = self.step / passed if passed > 0 else math.inf  # of the run, at its pace so far
        have = max(1, sum(p.windows // self._batch_size for p in self._parts[self._mains :]))
        return max(planned, 1 - have / steps)

    @property
    def read_memory(self) -> Memory | None:
        """What the network reads with text that was never trained on, if it reads a memory."""
        return self.memory.whole() if self.memory and self.network.memory_input else None

    @property
    def speed(self) -> float:
        """Tokens per second of training."""
        return (self.tokens - self.warm_tokens) / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def is_finite(self) -> bool:
        """Whether all that was learned is numbers; every process holds the same."""
        learned = [*self.network.parameters(), *self.mixer.parameters()]
        return all(bool(torch.isfinite(p.detach()).all()) for p in learned)

    def look(self, group: ProcessGroup) -> float | None:
        """After each step: every `train.eval_every` steps of the main phase, the network's bits per byte of held-out
        text.

        With `train.patience` the main phase ends after so many looks without a new best, and what follows begins with
        the weights of the best.
        """
        t, held_out = self.config.train, self.held_out
        if held_out is None or self._main_over:
            return None
        network = self.averaged or self.network
        found = held_out.look(network, self.read_memory, group) if self.step % t.eval_every == 0 else None
        over = self.done >= self._main_share
        if t.patience and held_out.worse >= t.patience:
            self._skipped, over = self._skipped + max(0.0, self._main_share - self.done), True
        if over:
            self._over_at = self._main_share
            if t.patience and held_out.worse:
                held_out.restore(self.network, self.averaged)
        return found

    def next_batch(self) -> tuple[Part, NDArray[np.int64], bool]:
        """A part and the windows [B] of it that all processes together train on next, and whether they are of the
        joint phase."""
        if self._over_at is None and self.done >= self._main_share:
            self._over_at = self._main_share
        joint = self._main_over and len(self._parts) > self._mains
        index = self._joint_part() if joint else self._main_part()
        self._draws[index] += 1
        return self._parts[index], next(self._batches[index]), joint

    def _main_part(self) -> int:
        """The main phase's parts in turn, a whole pass each: the memory is estimated anew for every turn."""
        return min(
            range(self._mains), key=lambda i: self._draws[i] * self._batch_size // self._parts[i].windows
        )

    def _joint_part(self) -> int:
        """The joint phase's folds in turn, each as long as it has fresh windows, so that they last until the end.

        What the phase is longer than they last comes first: parts of the main phase, each predicted without itself too.
        """
        folds = range(self._mains, len(self._parts))
        fresh = {i: self._parts[i].windows // self._batch_size - self._draws[i] for i in folds}
        have, whole = sum(fresh.values()), sum(self._parts[i].windows // self._batch_size for i in folds)
        passed = self.done - self._skipped
        left = (
            self.step * (1 - self.done) / passed if passed > 0 else math.inf
        )  # batches, at the pace of the run so far
        if self._joint_batches is None:
            self._joint_batches = left
        if (
            left > have == whole and self._mains > 1
        ):  # once a fold is begun they all follow: models take their time
            return self._main_part()
        share = 1 - left / max(1.0, min(whole, self._joint_batches))
        wanted = self._mains + min(len(folds) - 1, max(0, int(share * len(folds))))
        in_turn = [*range(wanted, len(self._parts)), *range(self._mains, wanted)]
        return next((i for i in in_turn if fresh[i] > 0), wanted)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs; the data's order and the frozen bases follow from seed and draws."""
        return {
            "config": config_toml(self.config), "run": self.run, "data": self.data.counts,
            "step": self.step, "tokens": self.tokens, "warm_tokens": self.warm_tokens,
            "elapsed": self.elapsed, "communication": self.communication,
            "draws": self._draws, "joint_batches": self._joint_batches,
            "network": self.network.state_dict(), "mixer": self.mixer.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimiser": self.optimiser.state_dict(), "mixer_optimiser": self.mixer_optimiser.state_dict(),
            "memory": self.memory.state_dict() if self.memory else None,
            "held_out": self.held_out.state_dict() if self.held_out else None,
            "over_at": self._over_at, "skipped": self._skipped,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, for a run just begun with the same config and data, by any number of
        processes."""
        self.run = state["run"]
        self.step, self.tokens, self.warm_tokens = state["step"], state["tokens"], state["warm_tokens"]
        self.elapsed, self.communication = state["elapsed"], state["communication"]
        self.network.load_state_dict(state["network"])
        self.mixer.load_state_dict(state["mixer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mixer_optimiser.load_state_dict(state["mixer_optimiser"])
        if self.memory is not None:
            self.memory.load_state_dict(state["memory"])
        if self.held_out is not None:
            self.held_out.load_state_dict(state["held_out"])
        self._over_at, self._skipped = state["over_at"], state["skipped"]
        self._draws, self._joint_batches = list(state["draws"]), state["joint_batches"]
        for batches, draws in zip(self._batches, self._draws, strict=True):
            for _ in range(draws):
                next(batches)

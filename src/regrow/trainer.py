"""Training: a config and a data folder become a run, that is an artifact and what was measured while making it.

    run = train(load_preset("demo"), Path("runs/demo/data"), Path("runs/demo"))

The run ends at the first of its limits (steps, tokens, seconds); learning rates follow the share of the limit
used up, so a run bounded by wall clock warms down by wall clock. The last part of the run meets documents kept for it
(`regrow.batches`), on which the mixer learns from what network and memory say of each batch before either has
learned from it.

Legend: B sequences, T tokens, R = B * T rows, V vocabulary, D width.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from regrow.batches import IGNORED, Part, Plan, network_inputs, shuffled_batches
from regrow.checkpoint import load_checkpoint, save_checkpoint
from regrow.compute import compute_dtype, has_compiler, keep_freed_pages
from regrow.config import Config, config_toml
from regrow.data import Dataset
from regrow.dist import ProcessGroup, process_group
from regrow.errors import ConfigError, EnvironmentProblem
from regrow.mixer import Mixer
from regrow.model import Transformer, block_forward, soft_cap
from regrow.optim import Optimiser, learning_rate
from regrow.packing import check_budget, pack
from regrow.progress import Progress, Silent
from regrow.results import Result
from regrow.runlog import RunLog
from regrow.signals import stop_signals
from regrow.teacher import Teacher

_MICRO_TOKENS = {"cpu": 8192, "cuda": 65536}  # tokens of one forward pass: on a CPU they should fit its cache
_WARM_STEPS = 2  # steps before the clock starts: compilation, first allocations


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its artifact, and `result.json` as an object."""

    folder: Path
    artifact: Path
    result: Result
    is_first: bool  # of several processes, the one that speaks


def train(
    config: Config, data: Dataset | Path, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> Run:
    """Train by `config` on `data`, pack, and write the run's files into `out`.

    Raises ConfigError for settings that cannot work on this data, BudgetError for an artifact over its budget,
    EnvironmentProblem when stopped by ctrl-C (a checkpoint is kept; `resume` goes on from it).
    """
    keep_freed_pages()
    dataset = data if isinstance(data, Dataset) else Dataset.load(data)
    with process_group() as group:
        speaks = (progress or Silent()) if group.is_first else Silent()
        trainer = Trainer(config, dataset, out, group, speaks)
        if resume:
            trainer.resume()
        trainer.loop()
        if group.is_first:
            result = pack(
                config, dataset, out, trainer.trained_network(), trainer.mixer, trainer.teacher, speaks
            )
            trainer.fill(result)
            result.save(out / "result.json")
        group.barrier()
        return Run(out, out / "artifact.safetensors", Result.load(out / "result.json"), group.is_first)


class Trainer:
    """The state of a run under way, and the loop that moves it."""

    def __init__(
        self, config: Config, data: Dataset, out: Path, group: ProcessGroup, progress: Progress
    ) -> None:
        self.config, self.data, self.out, self.group, self.progress = config, data, out, group, progress
        t = config.train
        self._check()
        self.dtype = compute_dtype(group.device)
        self.network = Transformer(config.model, data.vocab_size, t.seq_len, t.seed).to(group.device)
        self.mixer = Mixer(config.mixer, torch.Generator().manual_seed(t.seed)).to(group.device)
        check_budget(config, self.network, data)
        self.optimiser = Optimiser(self.network, t, self.dtype)
        self.mixer_optimiser = torch.optim.AdamW(
            self.mixer.parameters(), lr=t.lr_mixer, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.averaged = copy.deepcopy(self.network) if t.ema > 0 else None
        mixing = config.memory.kind != "none" and config.mixer.kind != "none"
        self.plan = Plan.of(
            data, t.seq_len, t.closing if mixing else 0.0, max(1, config.memory.folds), t.seed
        )
        self.teacher = (
            Teacher(config.memory, self.plan, data.vocab_size, data.tokenizer.bos_id) if mixing else None
        )
        self.batch = t.batch_tokens // t.seq_len
        self.step = self.tokens = 0
        self.elapsed = 0.0
        self._draws = dict.fromkeys(range(1 + len(self.plan.folds)), 0)
        parts = [self.plan.opening, *self.plan.folds]
        self._batches = [
            shuffled_batches(
                p, self.batch, _generator(t.seed, i), rank=group.rank, world_size=group.world_size
            )
            for i, p in enumerate(parts)
        ]
        self._parts: list[Part] = parts
        self._loss: Any = network_nats
        self.tokens_at_clock = 0  # tokens before the clock started: they do not count towards the speed

    def _check(self) -> None:
        t, world, memory = self.config.train, self.group.world_size, self.config.memory
        if memory.kind == "hashed" and world > 1:
            raise ConfigError(
                'memory.kind = "hashed": is counted in one process; start without torchrun or use "exact".'
            )
        if memory.kind == "exact" and memory.stored == "table":
            raise ConfigError('memory.stored = "table": comes with a later release; use "text" or "auto".')
        if t.batch_tokens % (t.seq_len * world):
            raise ConfigError(
                f"train.batch_tokens = {t.batch_tokens}: must be a multiple of train.seq_len times the number of "
                f"processes, {t.seq_len * world}."
            )
        if len(self.data.train_tokens) < 2 * t.seq_len:
            raise ConfigError(
                f"train.seq_len = {t.seq_len}: the training text has {len(self.data.train_tokens)} tokens, too "
                "few for two sequences; lower it or give more text."
            )

    def loop(self) -> None:
        """Train until a limit is met. Raises EnvironmentProblem, with a checkpoint kept, when told to stop."""
        t = self.config.train
        self._compile()
        limit, unit = (
            (t.max_seconds, "s") if t.max_seconds and not (t.max_steps or t.max_tokens) else (None, "tokens")
        )
        total = limit or t.max_tokens or t.max_steps * t.batch_tokens or None
        self._clock = time.perf_counter() - self.elapsed
        saved_at = self.elapsed
        first_step = self.step
        with (
            stop_signals() as stopped,
            RunLog(self.out, self.config, self.group.is_first) as log,
            self.progress.task("train", total, unit) as task,
        ):
            shown = 0.0
            while (done := self._done()) < 1:
                facts = self._one_step(done)
                if self.step == first_step + _WARM_STEPS and first_step == 0:
                    self._clock, self.tokens_at_clock = time.perf_counter(), self.tokens
                self.elapsed = time.perf_counter() - self._clock
                now = self.elapsed if unit == "s" else float(self.tokens)
                if self.step % t.log_every == 0:
                    log.write(self._record(facts))
                task.advance(
                    max(0.0, now - shown), bpb=self._bpb(facts["loss"]), tokens_per_second=self._speed()
                )
                shown = max(shown, now)
                if t.checkpoint_seconds and self.elapsed - saved_at > t.checkpoint_seconds:
                    self.checkpoint()
                    saved_at = self.elapsed
                if stopped():
                    path = self.checkpoint()
                    raise EnvironmentProblem(
                        f"training was stopped after step {self.step}; the checkpoint is kept in {path}, "
                        "go on with --resume."
                    )

    def _done(self) -> float:
        """Share of the first limit that is used up, the same in every process."""
        t = self.config.train
        shares = (
            self.step / t.max_steps if t.max_steps else 0.0,
            self.tokens / t.max_tokens if t.max_tokens else 0.0,
            self.elapsed / t.max_seconds if t.max_seconds else 0.0,
        )
        return self.group.agree(max(shares))

    def _one_step(self, done: float) -> dict[str, float]:
        t = self.config.train
        part_index = self._part_index(done)
        part = self._parts[part_index]
        index_B = next(self._batches[part_index])
        self._draws[part_index] += 1
        rate = learning_rate(done, self.step, t.warmup_steps, t.warmdown)
        micro = max(1, _MICRO_TOKENS[self.group.device.type] // t.seq_len)
        local_tokens = len(index_B) * t.seq_len
        nats = blended = scored = 0.0
        for at in range(0, len(index_B), micro):
            a, b, n = self._forward_backward(
                part, index_B[at : at + micro], local_tokens, closing=part_index > 0
            )
            nats, blended, scored = nats + a, blended + b, scored + n
        parameters = [*self.optimiser.parameters, *(self.mixer.parameters() if part_index > 0 else ())]
        self.group.average([p.grad for p in parameters if p.grad is not None])
        norm = self.optimiser.step(rate)
        if part_index > 0:
            for options in self.mixer_optimiser.param_groups:
                options["lr"] = t.lr_mixer * (1 - done) / t.closing
            self.mixer_optimiser.step()
            self.mixer_optimiser.zero_grad()
        if self.averaged is not None:
            share = 1 - min(t.ema, (self.step + 1) / (self.step + 10))
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.data.lerp_(now.data, share)
        if self.teacher is not None:
            self.teacher.learn(part, index_B)
        self.step += 1
        self.tokens += t.batch_tokens
        return {"loss": nats / scored, "blended": blended / scored, "rate": rate, "norm": norm}

    def _part_index(self, done: float) -> int:
        """0: the opening part. In the closing share of the run, its folds in turn, each as long as it has
        fresh windows."""
        folds = len(self.plan.folds)
        if done < 1 - self.config.train.closing or not folds or self.teacher is None:
            return 0
        wanted = 1 + min(
            folds - 1, int((done - 1 + self.config.train.closing) / self.config.train.closing * folds)
        )
        for index in range(wanted, folds + 1):
            if (self._draws[index] + 1) * self.batch <= self._parts[index].windows:
                return index
        return 0

    def _forward_backward(
        self, part: Part, index_B: NDArray[np.int64], local_tokens: int, *, closing: bool
    ) -> tuple[float, float, float]:
        """Gradients of the mean loss a local token; returns sums of nats (network, mixture) and the tokens scored."""
        device = self.group.device
        targets_BT = part.targets(index_B)
        targets = torch.from_numpy(targets_BT).to(device)
        inputs = torch.from_numpy(network_inputs(targets_BT, self.data.tokenizer.bos_id)).to(device)
        hidden_BTD = self.network.hidden(inputs, self.network.weights(self.dtype))
        embedding = self.network.embedding.to(self.dtype)
        nats = self._loss(hidden_BTD, embedding, targets, self.config.model.softcap)
        blended = 0.0
        if closing and self.teacher is not None:
            rows = self.teacher.rows(part, index_B, device)
            logits_RV = self.network.logits(hidden_BTD).flatten(0, 1)
            mixed_RV = self.mixer(logits_RV, rows.log_probs_RV, rows.facts_RC)
            mixed = F.cross_entropy(mixed_RV, targets.flatten(), reduction="sum", ignore_index=IGNORED)
            blended = float(mixed.detach())
            (mixed / local_tokens).backward()  # type: ignore[no-untyped-call]
        else:
            (nats / local_tokens).backward()
        return float(nats.detach()), blended, float((targets_BT != IGNORED).sum())

    def _compile(self) -> None:
        """Compile block and loss where there is a compiler and the run is long enough to earn its seconds back."""
        mode = self.config.train.compile
        t = self.config.train
        long = (t.max_seconds == 0 or t.max_seconds >= 60) and (t.max_steps == 0 or t.max_steps >= 200)
        long = long and (t.max_tokens == 0 or t.max_tokens >= 1_000_000)
        if mode == "off" or (mode == "auto" and not long):
            return
        if self.group.device.type == "cpu" and not has_compiler():
            if mode == "on":
                raise ConfigError(
                    "train.compile = on: there is no C++ compiler on the path; install g++ or set it to auto."
                )
            self.progress.say("no C++ compiler found: training runs uncompiled, about a third slower")
            return
        self.network.run_block, self._loss = torch.compile(block_forward), torch.compile(network_nats)

    def trained_network(self) -> Transformer:
        """The network to pack, uncompiled: the averaged one where averaging is on."""
        network = self.averaged or self.network
        network.run_block = block_forward  # other shapes follow, and each would be compiled anew
        return network

    def checkpoint(self) -> Path:
        """Write the state that `resume` needs; returns the file."""
        state = {
            "config": config_toml(self.config), "step": self.step, "tokens": self.tokens, "elapsed": self.elapsed,
            "draws": {str(k): v for k, v in self._draws.items()},
            "network": dict(self.network.state_dict()), "mixer": dict(self.mixer.state_dict()),
            "averaged": dict(self.averaged.state_dict()) if self.averaged else None,
            "optimiser": self.optimiser.state_dict(), "mixer_optimiser": self.mixer_optimiser.state_dict(),
        }  # fmt: skip
        if self.group.is_first:
            return save_checkpoint(self.out / "checkpoint", self.step, state)
        return self.out / "checkpoint"

    def resume(self) -> None:
        """Go on where the newest checkpoint stands. Raises DataError without one, ConfigError for another config."""
        state = load_checkpoint(self.out / "checkpoint")
        if state["config"] != config_toml(self.config):
            raise ConfigError(
                f"{self.out / 'checkpoint'}: was made with another config; resume with {self.out}/config.toml."
            )
        self.step, self.tokens, self.elapsed = state["step"], state["tokens"], state["elapsed"]
        self.network.load_state_dict(state["network"])
        self.mixer.load_state_dict(state["mixer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mixer_optimiser.load_state_dict(state["mixer_optimiser"])
        for index, draws in state["draws"].items():
            for _ in range(draws):
                drawn = next(self._batches[int(index)])
                if self.teacher is not None:
                    self.teacher.learn(self._parts[int(index)], drawn)
            self._draws[int(index)] = draws

    def fill(self, result: Result) -> None:
        """Put what training measured into `result`."""
        result.steps, result.train_tokens_seen = self.step, self.tokens
        result.world_size = self.group.world_size
        result.tokens_per_second = self._speed()
        result.seconds.train = self.elapsed
        if self.teacher is not None:
            result.seconds.memory_count, result.seconds.memory_score = (
                self.teacher.count_seconds,
                self.teacher.score_seconds,
            )

    def _speed(self) -> float:
        return (self.tokens - self.tokens_at_clock) / self.elapsed if self.elapsed > 0 else 0.0

    def _bpb(self, nats_a_token: float) -> float:
        tokens_a_byte = len(self.data.train_tokens) / max(1, self.data.train_bytes)
        return nats_a_token / math.log(2) * tokens_a_byte

    def _record(self, facts: dict[str, float]) -> dict[str, float]:
        record = {
            "step": self.step, "tokens": self.tokens, "seconds": round(self.elapsed, 3), "loss": facts["loss"],
            "bpb": self._bpb(facts["loss"]), "rate": facts["rate"], "grad_norm": facts["norm"],
            "tokens_per_second": self._speed(),
        }  # fmt: skip
        if facts["blended"]:
            record["blended_bpb"] = self._bpb(facts["blended"])
        return record


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, stream]))


def network_nats(hidden_BTD: Tensor, embedding_VD: Tensor, targets_BT: Tensor, softcap: float) -> Tensor:
    """Sum over the scored targets of the network's nats, float32."""
    logits = soft_cap(F.linear(hidden_BTD, embedding_VD).float(), softcap)
    return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="sum", ignore_index=IGNORED)

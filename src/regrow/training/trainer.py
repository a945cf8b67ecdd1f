"""Training: a config and a data folder become a run, that is an artifact and what was measured while making it.

    run = train(load_preset("demo"), Path("runs/demo/data"), Path("runs/demo"))

The run ends at the first of its limits (steps, tokens, seconds); learning rates follow the share of the limit
used up, so a run bounded by wall clock warms down by wall clock. The last part of the run meets documents kept for it
(`regrow.training.batches`), on which the mixer learns from what network and memory say of each batch before either has
learned from it.

Under torchrun every process trains on its share of each batch and holds the same network: gradients are summed,
Muon's work and the counting are shared, and every decision is taken from numbers that all processes have.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from regrow.core.config.load import config_toml
from regrow.core.config.schema import Config
from regrow.core.dist import ProcessGroup, process_group
from regrow.core.errors import ConfigError, DataError, EnvironmentProblem
from regrow.core.files import remove_leftovers
from regrow.core.progress import Progress, Silent
from regrow.core.results import Result
from regrow.data.dataset import Dataset
from regrow.network.compute import compute_dtype, keep_freed_pages
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.training.batches import Part, Plan, shuffled_batches
from regrow.training.checkpoint import (
    Checkpoints,
    check_config,
    cut_log,
    has_checkpoint,
    load_checkpoint,
)
from regrow.training.gradients import GradientSum
from regrow.training.log import Callback, RunLog
from regrow.training.loss import Nats, StepLoss
from regrow.training.memory import Teacher
from regrow.training.optim import Optimiser, learning_rate
from regrow.training.packing import check_budget, network_bpb, pack
from regrow.training.signals import stop_signals
from regrow.training.timer import Clock

_MICRO_TOKENS = {"cpu": 8192, "cuda": 65536}  # tokens of one forward pass: on a CPU they should fit its cache
_WARM_STEPS = 2  # steps before the clock runs: compilation, first allocations


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its artifact, and `result.json` as an object."""

    folder: Path
    artifact: Path
    result: Result
    is_first: bool  # of several processes, the one that speaks


def train(
    config: Config,
    data: Dataset | Path | str,
    out: Path | str,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train by `config` on `data`, pack, and write the run's files into `out`.

    The first process calls `on_step` of each of `callbacks` at every log step (`train.log_every`).

    Under torchrun all processes call it alike; when torchrun starts them again after one died, they go on from the
    newest checkpoint. Raises ConfigError for settings that cannot work on this data, BudgetError for an artifact
    over its budget, EnvironmentProblem when stopped by ctrl-C or SIGTERM (a checkpoint is kept; `resume` goes on
    from it) or when another process of the group is gone.
    """
    keep_freed_pages()
    out = Path(out)
    dataset = data if isinstance(data, Dataset) else Dataset.load(Path(data))
    with process_group() as group:
        speaks = (progress or Silent()) if group.is_first else Silent()
        if group.is_first:
            remove_leftovers(out, "config.toml", "log.jsonl", "artifact.safetensors", "result.json")
        trainer = Trainer(config, dataset, out, group, speaks, callbacks)
        if group.most_restarts:  # on several machines torchrun counts by machine; the count of one is enough
            wanted = group.sums([resume or group.restarts])[0] > 0
            resume = wanted and has_checkpoint(out / "checkpoint")
            if wanted and not resume:
                speaks.log("there is no checkpoint yet: training begins at the beginning")
        if resume:
            trainer.resume()
        trainer.loop()
        result = trainer.finish()
        return Run(out, out / "artifact.safetensors", result, group.is_first)


class Trainer:
    """The state of a run under way, and the loop that moves it."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        out: Path,
        group: ProcessGroup,
        progress: Progress,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.config, self.data, self.out, self.group, self.progress = config, data, out, group, progress
        self.callbacks = callbacks
        t = config.train
        self._check()
        self.dtype = compute_dtype(group.device)
        self.network = Transformer(config.model, data.vocab_size, t.seq_len, t.seed).to(group.device)
        self.mixer = Mixer(config.mixer, torch.Generator().manual_seed(t.seed)).to(group.device)
        check_budget(config, self.network, data)
        self.optimiser = Optimiser(self.network, t, self.dtype, group)
        self.mixer_optimiser = torch.optim.AdamW(
            self.mixer.parameters(), lr=t.lr_mixer, betas=(0.9, 0.95), weight_decay=0.0
        )
        self.averaged = copy.deepcopy(self.network) if t.ema > 0 else None
        mixing = config.memory.kind != "none" and config.mixer.kind != "none"
        self.plan = Plan.of(
            data, t.seq_len, t.closing if mixing else 0.0, max(1, config.memory.folds), t.seed
        )
        bos_id = data.tokenizer.bos_id
        self.teacher = Teacher(config.memory, self.plan, data.vocab_size, bos_id, group) if mixing else None
        self.batch = t.batch_tokens // t.seq_len
        self.step = self.tokens = self.warm_tokens = 0  # warm: trained on while the clock stood
        self.elapsed = self.talked = 0.0  # seconds of training, and of it with other processes
        self._parts: list[Part] = [self.plan.opening, *self.plan.folds]
        self._draws = [0] * len(self._parts)
        self._batches: list[Iterator[NDArray[np.int64]]] = [
            shuffled_batches(p, self.batch, np.random.Generator(np.random.PCG64([t.seed, i])))
            for i, p in enumerate(self._parts)
        ]
        self._loss = StepLoss(self.network, self.mixer, self.teacher, bos_id, self.dtype)
        self._sum = GradientSum(group, self.optimiser.parameters)
        self._mixer_sum = GradientSum(group, self.mixer.parameters())

    def _check(self) -> None:
        t, world, memory = self.config.train, self.group.world_size, self.config.memory
        if memory.kind == "hashed" and world > 1:
            raise ConfigError(
                'memory.kind = "hashed": is counted in one process; start without torchrun or use "exact".'
            )
        sequences = t.batch_tokens // t.seq_len
        if sequences % world:
            fitting = [n for n in range(1, sequences + 1) if sequences % n == 0]
            near = [*[n for n in fitting if n < world][-1:], *[n for n in fitting if n > world][:1]]
            raise ConfigError(
                f"train.batch_tokens = {t.batch_tokens}: its {sequences} sequences of train.seq_len cannot be dealt "
                f"out evenly to {world} processes; start {' or '.join(map(str, near))}, or choose a multiple of "
                f"{t.seq_len * world} tokens."
            )
        if len(self.data.train_tokens) < 2 * t.seq_len:
            raise ConfigError(
                f"train.seq_len = {t.seq_len}: the training text has {len(self.data.train_tokens)} tokens, too "
                "few for two sequences; lower it or give more text."
            )

    def loop(self) -> None:
        """Train until a limit is met. Raises EnvironmentProblem, with a checkpoint kept, when told to stop."""
        t = self.config.train
        self._loss.compile(t, self.progress)
        limit, unit = (
            (t.max_seconds, "s") if t.max_seconds and not (t.max_steps or t.max_tokens) else (None, "tokens")
        )
        total = limit or t.max_tokens or t.max_steps * t.batch_tokens or None
        if self.group.is_first:
            cut_log(self.out / "log.jsonl", self.step)
        clock = Clock(self.elapsed, self.talked, self.step + _WARM_STEPS, self.group)
        saved_at, shown = self.elapsed, 0.0
        with (
            stop_signals() as stopped,
            RunLog(self.out, self.config, self.group.is_first, self.callbacks) as log,
            self._checkpoints() as checkpoints,
            self.progress.task("train", total, unit) as task,
        ):
            while (done := self._done()) < 1:
                nats, facts = self._one_step(done)
                if not clock.runs:
                    self.warm_tokens += t.batch_tokens
                clock.step(self.step)
                stop, self.elapsed, self.talked, *sums = self.group.sums(
                    [stopped(), *clock.reading(), nats.network, nats.mixture, nats.scored]
                )
                facts |= self._losses(*sums)
                if self.step % t.log_every == 0:
                    log.write(self._record(facts))
                now = self.elapsed if unit == "s" else float(self.tokens)
                task.advance(max(0.0, now - shown), bpb=facts["bpb"], tokens_per_second=self._speed())
                shown = max(shown, now)
                if stop:
                    self._stop(checkpoints)
                if self.group.is_first and checkpoints.due(self.elapsed - saved_at):
                    checkpoints.save(self.step, self.state_dict())
                    saved_at = self.elapsed
            if t.checkpoint_seconds and self.group.is_first:  # packing may be killed too
                checkpoints.save(self.step, self.state_dict())

    @contextmanager
    def _checkpoints(self) -> Iterator[Checkpoints]:
        interval, folder = self.config.train.checkpoint_seconds, self.out / "checkpoint"
        checkpoints = Checkpoints(folder, interval, self.step, self.group.is_first, self.progress.log)
        try:
            yield checkpoints
        finally:
            checkpoints.finish()

    def _stop(self, checkpoints: Checkpoints) -> NoReturn:
        """A signal came to one of the processes: keep a checkpoint and end, all of them after the same step."""
        path = checkpoints.folder
        if self.group.is_first:
            path = checkpoints.save_now(self.step, self.state_dict())
        self.group.barrier()
        raise EnvironmentProblem(
            f"training was stopped after step {self.step}; the checkpoint is kept in {path}, go on with --resume."
        )

    def finish(self) -> Result:
        """Score and pack what was trained and write `result.json`; every process gets the result."""
        if self.teacher is not None:
            self.teacher.merge()
        network = self.averaged or self.network
        with self.progress.task("score the network before it is quantised"):
            unquantized = network_bpb(network, self.data, self.config.eval, self.group)
        written = b""
        if self.group.is_first:
            if self.teacher is not None:
                self.teacher.leave_group()  # the others do not pack
            result = pack(
                self.config,
                self.data,
                self.out,
                network,
                self.mixer,
                self.teacher,
                unquantized,
                self.progress,
            )
            self._fill(result)
            result.save(self.out / "result.json")
            written = msgspec.json.encode(result)
        return msgspec.json.decode(
            self.group.share(np.frombuffer(bytearray(written), np.uint8))[0].tobytes(), type=Result
        )

    def _done(self) -> float:
        """Share of the first limit that is used up, the same in every process."""
        t = self.config.train
        return max(
            self.step / t.max_steps if t.max_steps else 0.0,
            self.tokens / t.max_tokens if t.max_tokens else 0.0,
            self.elapsed / t.max_seconds if t.max_seconds else 0.0,
        )

    def _one_step(self, done: float) -> tuple[Nats, dict[str, float]]:
        """One update of everything that learns; returns this process's nats, and what was the same in all."""
        t = self.config.train
        part_index = self._part_index(done)
        part, closing = self._parts[part_index], part_index > 0
        index_B = next(self._batches[part_index])
        self._draws[part_index] += 1
        mine_B = index_B[self.group.rank :: self.group.world_size]
        rate = learning_rate(done, self.step, t.warmup_steps, t.warmdown)
        micro = max(1, _MICRO_TOKENS[self.group.device.type] // t.seq_len)
        sums = [self._sum, self._mixer_sum] if closing else [self._sum]
        nats = Nats()
        for gradients in sums:
            gradients.clear()
        for at in range(0, len(mine_B), micro):
            if at + micro >= len(mine_B):
                self._sum.last_pass()  # the mixer's few leave after it, in one order everywhere
            nats += self._loss.backward(part, mine_B[at : at + micro], t.batch_tokens, closing=closing)
        for gradients in sums:
            gradients.finish()
        norm = self.optimiser.step(rate)
        if closing:
            for options in self.mixer_optimiser.param_groups:
                options["lr"] = t.lr_mixer * (1 - done) / t.closing
            self.mixer_optimiser.step()
        if self.averaged is not None:
            share = 1 - min(t.ema, (self.step + 1) / (self.step + 10))
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.data.lerp_(now.data, share)
        if self.teacher is not None:
            self.teacher.learn(part, index_B)
        self.step += 1
        self.tokens += t.batch_tokens
        return nats, {"rate": rate, "grad_norm": norm}

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

    def state_dict(self) -> dict[str, Any]:
        """All that `resume` needs. The data's order and the frozen bases regrow from seed and draws."""
        return {
            "config": config_toml(self.config), "data": self.data.counts, "step": self.step, "tokens": self.tokens,
            "warm_tokens": self.warm_tokens, "elapsed": self.elapsed, "talked": self.talked, "draws": self._draws,
            "network": self.network.state_dict(), "mixer": self.mixer.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimiser": self.optimiser.state_dict(), "mixer_optimiser": self.mixer_optimiser.state_dict(),
            "teacher": self.teacher.state_dict() if self.teacher else None,
        }  # fmt: skip

    def resume(self) -> None:
        """Go on where the newest whole checkpoint stands, with any number of processes.

        Raises DataError without one or for one made on other data, ConfigError for one of another config.
        """
        folder = self.out / "checkpoint"
        state = load_checkpoint(folder, self.progress.log)
        check_config(state["config"], self.config, folder)
        if state["data"] != self.data.counts:
            raise DataError(
                f"{folder}: was made on other data ({state['data']['name']}); give the same --data."
            )
        self.step, self.tokens, self.warm_tokens = state["step"], state["tokens"], state["warm_tokens"]
        self.elapsed, self.talked = state["elapsed"], state["talked"]
        if self.group.sums([self.step]) != [self.step * self.group.world_size]:
            raise DataError(
                f"{folder}: the processes read different checkpoints; give them one shared folder."
            )
        self.network.load_state_dict(state["network"])
        self.mixer.load_state_dict(state["mixer"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mixer_optimiser.load_state_dict(state["mixer_optimiser"])
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])
        self._draws = list(state["draws"])
        for batches, draws in zip(self._batches, self._draws, strict=True):
            for _ in range(draws):
                next(batches)

    def _fill(self, result: Result) -> None:
        """Put what training measured into `result`."""
        result.steps, result.train_tokens_seen = self.step, self.tokens
        result.world_size = self.group.world_size
        result.tokens_per_second = self._speed()
        result.seconds.train = self.elapsed
        if self.group.world_size > 1:
            result.seconds.communication = self.talked
            share = self.talked / self.elapsed if self.elapsed else 0.0
            self.progress.log(
                f"{self.group.world_size} processes: {100 * share:.1f} % of training time went on sending and waiting"
            )
        if self.teacher is not None:
            result.seconds.memory_count = self.teacher.count_seconds
            result.seconds.memory_score = self.teacher.score_seconds
            result.seconds.memory_merge = self.teacher.merge_seconds

    def _speed(self) -> float:
        return (self.tokens - self.warm_tokens) / self.elapsed if self.elapsed > 0 else 0.0

    def _bpb(self, nats_a_token: float) -> float:
        tokens_a_byte = len(self.data.train_tokens) / max(1, self.data.train_bytes)
        return nats_a_token / math.log(2) * tokens_a_byte

    def _losses(self, network: float, blended: float, scored: float) -> dict[str, float]:
        """The batch's figures from sums over all processes."""
        loss = network / scored
        facts = {"loss": loss, "bpb": self._bpb(loss)}
        return facts | ({"blended_bpb": self._bpb(blended / scored)} if blended else {})

    def _record(self, facts: dict[str, float]) -> dict[str, float]:
        record = {
            "step": self.step, "tokens": self.tokens, "seconds": round(self.elapsed, 3), "loss": facts["loss"],
            "bpb": facts["bpb"], "rate": facts["rate"], "grad_norm": facts["grad_norm"],
            "tokens_per_second": self._speed(),
        }  # fmt: skip
        if "blended_bpb" in facts:
            record["blended_bpb"] = facts["blended_bpb"]
        if self.group.world_size > 1:
            record["communication"] = self.talked / self.elapsed if self.elapsed else 0.0
        return record

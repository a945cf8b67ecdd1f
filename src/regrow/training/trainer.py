"""Training: a config and a data folder become a run, that is an artifact and what was measured while making it.

    run = train(load_preset("demo"), "runs/demo/data", "runs/demo")

The run ends at the first of its limits (steps, tokens, seconds); learning rates follow the share of the limit used up.
Its last part, the joint phase, ends on documents kept for it (`regrow.training.batches`).

Under torchrun every process trains on its share of each batch and holds the same network: gradients are summed,
Muon's work and the counting are shared, and every decision is taken from numbers that all processes have.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
import torch

from regrow.core import run_folder
from regrow.core.config.checks import check_type
from regrow.core.config.schema import Config
from regrow.core.dist import ProcessGroup, process_group
from regrow.core.errors import ConfigError, DataError
from regrow.core.machine import available_memory
from regrow.core.progress import Progress, Silent
from regrow.core.results import Result
from regrow.data.dataset import Dataset
from regrow.network.compute import check_products, keep_freed_pages
from regrow.training.checkpoint import (
    Checkpoints,
    check_config,
    cut_log,
    has_checkpoint,
    load_checkpoint,
)
from regrow.training.compiled import compile_ahead
from regrow.training.gradients import GradientSum
from regrow.training.log import Callback, RunLog
from regrow.training.loss import Nats, StepLoss
from regrow.training.needs import check_budget, check_memory, check_start, rows_at_once
from regrow.training.optim import learning_rate
from regrow.training.packing import network_bpb, pack
from regrow.training.signals import CAUGHT, ended_by, stop_signals
from regrow.training.state import TrainingState
from regrow.training.timer import Clock

_WARM_STEPS = 2  # steps before the clock runs: compilation, first allocations


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its artifact, and `result.json` as an object."""

    folder: Path
    artifact: Path
    result: Result
    is_first: bool  # whether this is rank 0, which alone writes files and logs


def train(
    config: Config,
    data: Dataset | Path | str,
    out: Path | str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[Callback] = (),
    device: str | None = None,
) -> Run:
    """Train by `config` on `data`, pack, and write the run's files into `out`.

    A finished run there is replaced with `overwrite` alone, and stays as it is until this one is done (`run_folder`).
    `device`: cpu, cuda or cuda:N; None: a GPU where there is one. The first process calls the `callbacks`: `on_step` at
    every log step, `on_eval` when held-out text was scored.

    Under torchrun all processes call it alike; when torchrun starts them again after one died, they go on from the
    newest checkpoint. Raises ConfigError for settings that cannot work on this data, BudgetError for an artifact
    over its budget, EnvironmentProblem if another process trains in `out` or one of the group is gone,
    KeyboardInterrupt or `Terminated` when stopped by ctrl-C, SIGTERM or SIGHUP (a checkpoint is kept; `resume` goes on
    from it).
    """
    check_type(config)
    keep_freed_pages()
    out = Path(out)
    dataset = data if isinstance(data, Dataset) else Dataset.load(Path(data))
    progress = progress or Silent()
    with process_group(progress.log, device) as group:
        compile_ahead(config, group.device.type, group.world_size)
        progress = progress if group.is_first else Silent()
        # On several machines torchrun counts restarts by machine; the count of one is enough.
        again = group.max_restarts > 0 and group.sums([resume or group.restarts])[0] > 0
        with run_folder.locked(out) if group.is_first else nullcontext():
            mine = b""
            if group.is_first:
                mine = os.fsencode(run_folder.prepare(out, resume=resume, overwrite=overwrite, again=again))
            work = Path(os.fsdecode(group.share(np.frombuffer(bytearray(mine), np.uint8))[0].tobytes()))
            trainer = Trainer(config, dataset, work, group, progress, callbacks)
            if again:
                resume = has_checkpoint(work / "checkpoint")
                progress.log(
                    "started again" + ("" if resume else ": there is no checkpoint yet, from the beginning")
                )
            if resume:
                trainer.resume()
            trainer.loop()
            result = trainer.finish()
            if group.is_first:
                run_folder.take_place(work, out)
        return Run(out, out / run_folder.ARTIFACT, result, group.is_first)


class Trainer:
    """The loop of a run: steps, log, checkpoints, and packing at the end."""

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
        check_start(config, len(data.train_tokens), group.world_size)
        check_budget(config, data.vocab_size, len(data.tokenizer.to_bytes()))
        cuda = group.device.type == "cuda"
        free = torch.cuda.mem_get_info(group.device)[0] if cuda else available_memory()
        check_memory(config, data.vocab_size, group.device.type, group.world_size, free, progress.log)
        self._rows = rows_at_once(config.train, group.device.type, group.world_size)
        state = self.state = TrainingState(config, data, group)
        self._loss = StepLoss(state.network, state.mixer, state.memory, data.tokenizer.bos_id, state.dtype)
        self._sum = GradientSum(group, state.optimiser.parameters)
        self._mixer_sum = GradientSum(group, state.mixer.parameters())
        self._warm_up = 0.0
        self._check_products()

    def loop(self) -> None:
        """Train until a limit is met. When told to stop, keeps a checkpoint and raises what `ended_by` gives."""
        t, state = self.config.train, self.state
        clock = Clock(state.elapsed, state.communication, state.step + _WARM_STEPS, self.group)
        self._loss.compile(t, self._rows, self.progress.log)
        limits = [(t.max_seconds, "s"), (t.max_tokens, "tokens"), (t.max_steps * t.batch_tokens, "tokens")]
        limits = [limit for limit in limits if limit[0]]
        total, unit = limits[0] if len(limits) == 1 else (100, "%")
        if self.group.is_first:
            cut_log(self.out / run_folder.LOG, state.step)
        began, saved_at, shown = state.step, state.elapsed, 0.0
        with (
            stop_signals(lambda: state.step == began, self.progress.log) as stopped,
            RunLog(self.out, self.config, self.group.is_first, self.callbacks, run=state.run) as log,
            self._checkpoints() as checkpoints,
            self.progress.task("train", total, unit) as task,
        ):
            while state.done < 1:
                nats, facts = self._one_step()
                if not clock.runs:
                    state.warm_tokens += t.batch_tokens
                clock.step(state.step)
                signals = [float(stopped() == number) for number in CAUGHT]
                state.elapsed, state.communication, *sums = self.group.sums(
                    [*clock.reading(), nats.network, nats.mixture, nats.scored, *signals]
                )
                sums, signals = sums[:3], sums[3:]
                facts |= self._losses(*sums)
                self._check_finite(*sums, facts["grad_norm"])
                if (found := state.look(self.group)) is not None:
                    facts["held_out_bpb"] = found
                if state.step % t.log_every == 0 or found is not None:
                    log.write(self._record(facts))
                if any(signals):  # before anything is shown: the terminal may be gone
                    self._stop(checkpoints, CAUGHT[np.argmax(signals)])
                now = {"s": state.elapsed, "tokens": float(state.tokens), "%": 100 * state.done}[unit]
                task.advance(max(0.0, now - shown), bpb=facts["bpb"], tokens_per_second=state.speed)
                shown = max(shown, now)
                if self.group.is_first and checkpoints.due(state.elapsed - saved_at) and state.is_finite:
                    checkpoints.save(state.step, state.state_dict())
                    saved_at = state.elapsed
            self._warm_up = clock.warm_up
            self._check_learned()
            if self.group.is_first and state.step > began:  # always: packing may be killed or fail
                checkpoints.save(state.step, state.state_dict())

    @contextmanager
    def _checkpoints(self) -> Iterator[Checkpoints]:
        interval, folder = self.config.train.checkpoint_seconds, self.out / "checkpoint"
        checkpoints = Checkpoints(folder, interval, self.state.step, self.group.is_first, self.progress.log)
        try:
            yield checkpoints
        finally:
            checkpoints.finish()

    def _check_products(self) -> None:
        shapes = [p.shape for p in self.state.network.parameters()]
        check_products(shapes, self._rows, self.state.dtype, self.group.device)

    def _check_learned(self) -> None:
        """The last update may have been the bad one, and no step has seen what came of it."""
        self._check_finite(0.0 if self.state.is_finite else math.nan)

    def _check_finite(self, *figures: float) -> None:
        """Raise ConfigError, in all processes after the same step, if training has left the finite numbers;
        EnvironmentProblem where this machine's arithmetic has."""
        if all(map(math.isfinite, figures)):
            return
        self._check_products()
        t, folder = self.config.train, self.out / "checkpoint"
        kept = f"; the checkpoint in {folder} is from before" if has_checkpoint(folder) else ""
        raise ConfigError(
            f"training: loss or gradient is no finite number after step {self.state.step}; lower the learning rates "
            f"(train.lr_matrix = {t.lr_matrix:g}, lr_embed = {t.lr_embed:g}, lr_scalar = {t.lr_scalar:g}, lr_mixer = "
            f"{t.lr_mixer:g}) or set train.grad_clip (now {t.grad_clip:g}){kept}."
        )

    def _stop(self, checkpoints: Checkpoints, number: int) -> NoReturn:
        """A signal came to one of the processes: keep a checkpoint and end, all of them after the same step."""
        self._check_learned()
        path = checkpoints.folder
        if self.group.is_first:
            path = checkpoints.save_now(self.state.step, self.state.state_dict())
        self.group.barrier()
        raise ended_by(
            number,
            f"training was stopped after step {self.state.step}; the checkpoint is kept in {path}, go on with "
            "--resume.",
        )

    def finish(self) -> Result:
        """Score and pack what was trained and write `result.json`; every process gets the result.

        Raises a KeyboardInterrupt that says how to go on if interrupted.
        """
        try:
            return self._packed()
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"{self.out}: packing was interrupted; what was trained is kept, --resume packs it"
            ) from interrupt

    def _packed(self) -> Result:
        state, memory = self.state, self.state.memory
        if memory is not None:
            memory.merge()
        network = state.averaged or state.network
        started = time.perf_counter()
        with self.progress.task("score the network before it is quantised"):
            unquantized = network_bpb(network, self.data, self.config.eval, self.group, state.read_memory)
        self._check_finite(unquantized)
        scored = time.perf_counter() - started
        written = b""
        if self.group.is_first:
            now = {"step": state.step, "tokens": state.tokens, "seconds": state.elapsed}
            for callback in self.callbacks:
                callback.on_eval({**now, "held_out_bpb": unquantized})
            if memory is not None:
                memory.leave_group()  # the others do not pack
            result = pack(
                self.config, self.data, self.out, network, state.mixer, memory, unquantized, self.progress
            )
            self._fill(result)
            result.seconds.score = scored
            result.save(self.out / run_folder.RESULT)
            if not self.config.train.checkpoint_seconds:  # it was kept for as long as packing could fail
                shutil.rmtree(self.out / "checkpoint", ignore_errors=True)
            written = msgspec.json.encode(result)
        return msgspec.json.decode(
            self.group.share(np.frombuffer(bytearray(written), np.uint8))[0].tobytes(), type=Result
        )

    def _one_step(self) -> tuple[Nats, dict[str, float]]:
        """One update of everything that learns; returns this process's nats, and what was the same in all."""
        t, state = self.config.train, self.state
        part, index_B, joint = state.next_batch()
        done = state.scheduled
        mine_B = index_B[self.group.rank :: self.group.world_size]
        rate = learning_rate(done, state.step, t.warmup_steps, t.warmdown)
        micro = self._rows // t.seq_len
        sums = [self._sum, self._mixer_sum] if joint else [self._sum]
        nats = Nats()
        for gradients in sums:
            gradients.clear()
        for at in range(0, len(mine_B), micro):
            if at + micro >= len(mine_B):
                self._sum.last_pass()  # the mixer's few leave after it, in one order everywhere
            nats += self._loss.backward(part, mine_B[at : at + micro], t.batch_tokens, joint=joint)
        for gradients in sums:
            gradients.finish()
        norm = state.optimiser.step(rate)
        if joint:
            for options in state.mixer_optimiser.param_groups:
                options["lr"] = t.lr_mixer * (1 - done) / t.closing
            state.mixer_optimiser.step()
        if state.averaged is not None:
            share = 1 - min(t.ema, (state.step + 1) / (state.step + 10))
            for mean, now in zip(state.averaged.parameters(), state.network.parameters(), strict=True):
                mean.data.lerp_(now.data, share)
        if state.memory is not None:
            state.memory.learn(part, index_B)
        state.step += 1
        state.tokens += t.batch_tokens
        return nats, {"rate": rate, "grad_norm": norm}

    def resume(self) -> None:
        """Go on where the newest whole checkpoint stands, with any number of processes.

        Raises DataError without one or for one made on other data or by another version, ConfigError for one of
        another config.
        """
        folder = self.out / "checkpoint"
        state = load_checkpoint(folder, self.progress.log)
        if missing := sorted(self.state.state_dict().keys() - state.keys()):
            raise DataError(
                f"{folder}: was made by another version of regrow (there is no {missing[0]} in it); go on with that "
                "version, or train without --resume."
            )
        check_config(state["config"], self.config, folder)
        if state["data"] != self.data.counts:
            raise DataError(
                f"{folder}: was made on other data ({state['data']['name']}); give the same --data."
            )
        if self.group.sums([state["step"]]) != [state["step"] * self.group.world_size]:
            raise DataError(
                f"{folder}: the processes read different checkpoints; give them one shared folder."
            )
        self.state.load_state_dict(state)

    def _fill(self, result: Result) -> None:
        """Put what training measured into `result`."""
        state, memory = self.state, self.state.memory
        result.run = state.run
        result.steps, result.train_tokens_seen = state.step, state.tokens
        result.world_size = self.group.world_size
        result.tokens_per_second = state.speed
        result.seconds.train, result.seconds.warm_up = state.elapsed, self._warm_up
        if self.group.world_size > 1:
            result.seconds.communication = state.communication
            share = state.communication / state.elapsed if state.elapsed else 0.0
            self.progress.log(
                f"{self.group.world_size} processes: {100 * share:.1f} % of training time went on sending and waiting"
            )
        if memory is not None:
            result.seconds.memory_count = memory.count_seconds
            result.seconds.memory_score = memory.score_seconds
            result.seconds.memory_merge = memory.merge_seconds

    def _bpb(self, nats_per_token: float) -> float:
        tokens_per_byte = len(self.data.train_tokens) / max(1, self.data.train_bytes)
        return nats_per_token / math.log(2) * tokens_per_byte

    def _losses(self, network: float, mixture: float, scored: float) -> dict[str, float]:
        """The batch's figures from sums over all processes."""
        facts = {"loss": network / scored, "bpb": self._bpb(network / scored)}
        return facts | ({"blended_bpb": self._bpb(mixture / scored)} if mixture else {})

    def _record(self, facts: dict[str, float]) -> dict[str, float]:
        state = self.state
        record = {
            "step": state.step, "tokens": state.tokens, "seconds": round(state.elapsed, 3), "loss": facts["loss"],
            "bpb": facts["bpb"], "rate": facts["rate"], "grad_norm": facts["grad_norm"],
            "tokens_per_second": state.speed,
        }  # fmt: skip
        record |= {key: facts[key] for key in ("blended_bpb", "held_out_bpb") if key in facts}
        if self.group.world_size > 1:
            record["communication"] = state.communication / state.elapsed if state.elapsed else 0.0
        return record

"""The process group a run belongs to: one process, or those torchrun started. The only reader of the environment.

Gloo carries messages between CPU processes, NCCL between GPUs; nothing else differs. Rank here always means a
process's place in the group.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from regrow.core.errors import ConfigError, EnvironmentProblem
from regrow.core.machine import usable_cores

Bytes = NDArray[np.uint8]

_TIMEOUT = timedelta(minutes=30)  # the others wait while the first process packs
_JOINING = timedelta(seconds=45)  # how long a process waits for those that have not come yet

# How many tasks other launchers say they started: with more than one, a group of one process is a mistake.
_OTHER_LAUNCHERS = {
    "SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpiexec",
}  # fmt: skip


@dataclass
class Traffic:
    """What communication has cost this process: `bytes` it sent, `seconds` it sent and waited for the others."""

    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ProcessGroup:
    """This process's `rank` of `world_size`, and the `device` it computes on.

    `restarts`: how often torchrun has started this process anew after one died, `max_restarts`: how often it would.
    Every method that communicates must be called by all processes in the same order; it raises EnvironmentProblem when
    another process is gone.
    """

    rank: int
    world_size: int
    device: torch.device
    restarts: int = 0
    max_restarts: int = 0
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, the process that writes files and logs."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.sums([0.0])

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes, in float64: what all must agree on."""
        if self.world_size == 1:
            return list(values)
        box = torch.tensor(values, dtype=torch.float64, device=self.device)
        with self._communicating(box.nbytes * 2):
            torch.distributed.all_reduce(box)
            summed: list[float] = box.tolist()
        return summed

    def start_sum(self, flat: Tensor) -> torch.distributed.Work | None:
        """Begin to replace `flat` by its sum over the processes; hand the result to `finish`. None: nothing to do."""
        if self.world_size == 1:
            return None
        with self._communicating(2 * flat.nbytes * (self.world_size - 1) // self.world_size):
            work: torch.distributed.Work = torch.distributed.all_reduce(flat, async_op=True)
        return work

    def start_gather(self, mine: Tensor) -> tuple[list[Tensor], torch.distributed.Work | None]:
        """Begin to collect every process's `mine`, all of one size, in the order of ranks; `finish` before reading."""
        if self.world_size == 1:
            return [mine], None
        gathered = [torch.empty_like(mine) for _ in range(self.world_size)]
        with self._communicating(mine.nbytes * (self.world_size - 1)):
            return gathered, torch.distributed.all_gather(gathered, mine, async_op=True)

    def finish(self, work: torch.distributed.Work | None) -> None:
        """Wait for what was begun."""
        if work is not None:
            with self._communicating(0):
                work.wait()

    def transfer(self, outgoing: Sequence[tuple[int, Bytes]], incoming: Sequence[tuple[int, Bytes]]) -> None:
        """Send each array to the process named with it, and fill each array of `incoming` from the process named.

        Messages between two processes keep their order; lengths must agree, and empty ones do not travel. Straight
        from process to process: gloo's collective forms of this are three to five times slower.
        """
        operations, received = [], []
        for to, array in outgoing:
            if array.size:
                message = torch.from_numpy(array).to(self.device)
                operations.append(torch.distributed.P2POp(torch.distributed.isend, message, to))
        for source, array in incoming:
            if array.size:
                here = torch.from_numpy(array)
                there = here if self.device.type == "cpu" else torch.empty_like(here, device=self.device)
                received.append((here, there))
                operations.append(torch.distributed.P2POp(torch.distributed.irecv, there, source))
        with self._communicating(sum(array.nbytes for _, array in outgoing)):
            for work in torch.distributed.batch_isend_irecv(operations) if operations else ():
                work.wait()
            for here, there in received:
                if there is not here:
                    here.copy_(there)

    def share(self, mine: Bytes) -> list[Bytes]:
        """Every process's bytes, in the order of ranks."""
        lengths = [0] * self.world_size
        lengths[self.rank] = len(mine)
        every = [np.empty(int(n), np.uint8) for n in self.sums(lengths)]
        others = [r for r in range(self.world_size) if r != self.rank]
        self.transfer([(r, mine) for r in others], [(r, every[r]) for r in others])
        every[self.rank] = mine
        return every

    @contextmanager
    def _communicating(self, sent: int) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"process {self.rank} of {self.world_size}: the other processes no longer answer, one of them was "
                f"killed or stopped with an error ({_first_line(error)}); start all of them again with --resume to go "
                "on from the newest checkpoint."
            ) from error
        finally:
            self.traffic.bytes += sent
            self.traffic.seconds += time.perf_counter() - started


@contextmanager
def process_group(
    log: Callable[[str], None] | None = None, device: str | None = None
) -> Iterator[ProcessGroup]:
    """Join the group that torchrun describes in the environment, or be a group of one; leaves it at the end.

    `device`: cpu, cuda or cuda:N; None: this process's GPU where there is one, else cpu.
    Sets the number of threads (see `set_threads`), which rank 0 logs. Warns on standard error where several processes
    were started that do not form a group. Raises ConfigError for a device that is none,
    EnvironmentProblem for one that is not there or if the group that was announced cannot be formed.
    """
    world_size, rank = _number("WORLD_SIZE", 1), _number("RANK", 0)
    local_rank, neighbours = _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", world_size)
    place = _device(local_rank, neighbours, device)
    set_threads(neighbours, log if rank == 0 else None)
    if world_size == 1:
        _warn_if_alone()
        yield ProcessGroup(0, 1, place, *_restarts())
        return
    try:
        torch.distributed.init_process_group(
            "nccl" if place.type == "cuda" else "gloo", timeout=_TIMEOUT, store=_store(rank, world_size),
            rank=rank, world_size=world_size,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise EnvironmentProblem(
            f"process {rank} of {world_size}: the processes cannot form a group ({_first_line(error)}); start "
            "them with torchrun, whose rendezvous address every machine must reach."
        ) from error
    try:
        yield ProcessGroup(rank, world_size, place, *_restarts())
    finally:
        with suppress(RuntimeError):  # the others may be gone, which has been reported already
            torch.distributed.destroy_process_group()


def _store(rank: int, world_size: int) -> Store:
    """Where the processes find each other's addresses, with none from a group that was here before.

    torchrun keeps one store for all the times it starts a group, and torch writes to the same keys each time: a process
    that is early reads the address of one that is dead. So the first process names a new section of the store
    to each of the others that is alive, which it knows by a number that each draws afresh.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        # Nobody ends those that wait for a process that died on its way here, as torchrun would.
        alone: Store = next(rendezvous("env://", timeout=_JOINING))[0]
        alone.set(f"regrow-here-{rank}", "")
        alone.wait([f"regrow-here-{other}" for other in range(world_size)], _JOINING)
        alone.set_timeout(_TIMEOUT)
        return alone
    store: Store = next(rendezvous("env://", timeout=_TIMEOUT))[0]
    drawn = uuid.uuid4().hex
    if rank == 0:
        section, missing = f"regrow-{drawn}", set(range(1, world_size))
        while missing:
            for other in sorted(missing):
                if store.check([f"regrow-hello-{other}"]):
                    number = store.get(f"regrow-hello-{other}").decode()
                    store.set(f"regrow-section-{number}", section)
                if store.check([f"{section}-here-{other}"]):
                    missing.discard(other)
            time.sleep(0.01)
    else:
        store.set(f"regrow-hello-{rank}", drawn)
        section = store.get(f"regrow-section-{drawn}").decode()  # waits for it
        store.set(f"{section}-here-{rank}", "")
    return PrefixStore(section, store)


def _device(local_rank: int, neighbours: int, asked: str | None = None) -> torch.device:
    kind, _, number = (asked or "cuda").partition(":")
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise ConfigError(f"--device {asked}: is no device; choose cpu, cuda or cuda:N.")
    if number and neighbours > 1:
        raise ConfigError(
            f"--device {asked}: is one GPU for {neighbours} processes; write cuda, and each has its own."
        )
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if asked:
            raise EnvironmentProblem(
                f"--device {asked}: torch {torch.__version__} sees no GPU; leave it out."
            )
        return torch.device("cpu")
    if number:
        if int(number) >= torch.cuda.device_count():
            raise EnvironmentProblem(
                f"--device {asked}: this machine has {torch.cuda.device_count()} GPUs, counted from 0."
            )
        local_rank = int(number)
    if neighbours > torch.cuda.device_count():
        raise EnvironmentProblem(
            f"{neighbours} processes were started on this machine, which has {torch.cuda.device_count()} GPUs; start "
            "one process per GPU, or hide the GPUs with CUDA_VISIBLE_DEVICES= to use its cores."
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def _warn_if_alone() -> None:
    for name, launcher in _OTHER_LAUNCHERS.items():
        if _number(name, 1) > 1:
            sys.stderr.write(
                f"regrow: WARNING: {launcher} started {os.environ[name]} processes that do not form a group: each of "
                "them does all the work alone and writes the same files; start them with torchrun instead.\n"
            )
            return
    if "TORCHELASTIC_RUN_ID" in os.environ and "WORLD_SIZE" not in os.environ:
        sys.stderr.write(
            "regrow: WARNING: torchrun started this process, but its environment says nothing of a group: it works "
            "alone; pass WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT on to it.\n"
        )


def set_threads(neighbours: int = 1, log: Callable[[str], None] | None = None) -> None:
    """Give torch no more threads than this process, one of `neighbours` on its machine, can keep busy; logs the choice.

    OMP_NUM_THREADS counts where it is set, but for the 1 that torchrun sets unasked. What OpenMP itself would cut down
    (OMP_THREAD_LIMIT, OMP_DYNAMIC) is cut here: bfloat16 products are wrong with fewer threads than torch expects.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked and not (asked == "1" and neighbours > 1):
        threads, why = torch.get_num_threads(), "OMP_NUM_THREADS"
    else:
        cores, why = usable_cores()
        threads = max(1, cores // neighbours)
        if neighbours == 1:
            threads = min(threads, torch.get_num_threads())
        else:
            why += f", for {neighbours} processes"
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdecimal() and 0 < int(limit) < threads:
        threads, why = int(limit), "OMP_THREAD_LIMIT"
    if os.environ.get("OMP_DYNAMIC", "").lower() == "true" and threads > 1:
        threads, why = 1, "OMP_DYNAMIC"
    torch.set_num_threads(threads)
    if log is not None:
        log(f"threads: {threads} ({why})")


def _restarts() -> tuple[int, int]:
    return _number("TORCHELASTIC_RESTART_COUNT", 0), _number("TORCHELASTIC_MAX_RESTARTS", 0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise EnvironmentProblem(
            f"the environment variable {name} is {text!r}; torchrun sets it to a number."
        )
    return int(text) if text else default


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")

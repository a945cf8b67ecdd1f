"""Work in pieces, scattered over the processes of a group, and the numbers of every piece in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.core.dist import ProcessGroup

Numbers = NDArray[np.float64]


def scattered_work(
    lengths: Sequence[int],
    rows: int,
    work: Callable[[int], Numbers],
    group: ProcessGroup | None,
    threads: int = 1,
) -> list[Numbers]:
    """`work(i)` for every piece i, float64 [rows, lengths[i]], done by process i modulo the world size.

    With `threads`, that many pieces are done side by side, each with one thread of torch's: pieces that share nothing
    wait for each other once, where threads that share each operation wait after every one.
    The numbers travel as they are, so each process has the very bits that one process alone would have.
    """
    if group is None or group.world_size == 1:
        return _done(work, range(len(lengths)), threads)
    mine = _done(work, range(group.rank, len(lengths), group.world_size), threads)
    flat = np.concatenate([np.empty(0), *(piece.reshape(-1) for piece in mine)])
    result: list[Numbers] = [np.empty((rows, length)) for length in lengths]
    for rank, data in enumerate(group.share(flat.view(np.uint8))):
        numbers, at = data.view(np.float64), 0
        for i in range(rank, len(lengths), group.world_size):
            result[i] = numbers[at : at + rows * lengths[i]].reshape(rows, lengths[i])
            at += rows * lengths[i]
    return result


def _done(work: Callable[[int], Numbers], pieces: Sequence[int], threads: int) -> list[Numbers]:
    if threads == 1:
        return [work(i) for i in pieces]
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, pieces))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # threads that begin later take what was set last

"""Work in pieces, scattered over the processes of a group, and the numbers of every piece in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from regrow.core.dist import ProcessGroup

Numbers = NDArray[np.float64]


def scattered_work(
    lengths: Sequence[int], rows: int, work: Callable[[int], Numbers], group: ProcessGroup | None
) -> list[Numbers]:
    """`work(i)` for every piece i, float64 [rows, lengths[i]], done by process i modulo the world size.

    The numbers travel as they are, so each process has the very bits that one process alone would have.
    """
    if group is None or group.world_size == 1:
        return [work(i) for i in range(len(lengths))]
    mine = [work(i) for i in range(group.rank, len(lengths), group.world_size)]
    flat = np.concatenate([np.empty(0), *(piece.reshape(-1) for piece in mine)])
    result: list[Numbers] = [np.empty((rows, length)) for length in lengths]
    for rank, data in enumerate(group.share(flat.view(np.uint8))):
        numbers, at = data.view(np.float64), 0
        for i in range(rank, len(lengths), group.world_size):
            result[i] = numbers[at : at + rows * lengths[i]].reshape(rows, lengths[i])
            at += rows * lengths[i]
    return result

"""The carry-less 32-bit range coder of yes/no decisions, behind both stored forms: integers alone.

The coder's interval is low .. high, 32 bits kept in int64. A decision splits it in proportion to the probability of a
1, and bytes on which both ends agree leave it (Subbotin's coder, as in lpaq). `state` int64 [4]: low, high, the
decoder's window of four bytes, and the place in the stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def start(stream: Bytes, *, decode: bool) -> NDArray[np.int64]:
    """The state before the first decision; past its end a stream reads as zeros."""
    if not decode:
        return np.array([0, 0xFFFFFFFF, 0, 0], np.int64)
    return np.array([0, 0xFFFFFFFF, int.from_bytes(stream[:4].tobytes().ljust(4, b"\0"), "big"), 4], np.int64)


def finish(stream: Bytes, state: NDArray[np.int64]) -> bytes:
    """The coded bytes. The caller has seen to it that the stream was long enough for `state[3]`."""
    return stream[: int(state[3])].tobytes() + int(state[1]).to_bytes(4, "big")


@register_jitable
def code_bit(decode: Any, bit: Any, p: Any, state: Any, stream: Any) -> Any:
    """Codes one decision of which 1 has probability p / 65536 (p is 1 to 65535); returns it and the state after it.

    What an encoder puts past the end of `stream` is dropped, and counted.
    """
    low, high, window, at = state
    middle = low + ((high - low) >> 16) * p + ((((high - low) & 0xFFFF) * p) >> 16)
    if decode:
        bit = np.int64(1 if window <= middle else 0)
    if bit == 1:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & 0xFF000000 == 0:
        if decode:
            window = (window << 8) & 0xFFFFFFFF
            if at < stream.shape[0]:
                window |= np.int64(stream[at])
        elif at < stream.shape[0]:
            stream[at] = high >> 24
        at += 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    return bit, (low, high, window, at)

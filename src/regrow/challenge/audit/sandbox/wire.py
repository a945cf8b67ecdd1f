"""What the audit and its limited child send each other: JSON headers and raw arrays over two pipes, never pickles.

A message is 4 bytes (big endian) of header length, the header in JSON, then the bytes of the arrays it lists. The
reader trusts nothing: sizes are bounded and kinds of numbers are listed.
"""

from __future__ import annotations

import json
import math
import os
import select
import struct
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_KINDS = ("float32", "float64", "int64", "uint8")
_HEADER_AT_MOST = 4_000_000
_ARRAY_AT_MOST = 1_000_000_000


class WireClosed(Exception):
    """The other side ended, or said something that is no message."""


class WireTimeout(Exception):
    """The other side did not answer in time."""


def send(handle: int, header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> None:
    """Write one message.

    Args:
        handle: file descriptor of the pipe.
        header: plain values; the key `arrays` is taken.
        arrays: named arrays of one of the kinds float32, float64, int64, uint8.
    """
    held = arrays or {}
    listed = [[name, str(array.dtype), list(array.shape)] for name, array in held.items()]
    head = json.dumps({**header, "arrays": listed}).encode()
    for piece in (struct.pack(">I", len(head)), head, *(array.tobytes() for array in held.values())):
        view = memoryview(piece)
        while view:
            view = view[os.write(handle, view) :]


def _exactly(handle: int, count: int, deadline: float | None) -> bytearray:
    taken = bytearray()
    while len(taken) < count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                raise WireTimeout
        piece = os.read(handle, min(count - len(taken), 1 << 20))
        if not piece:
            raise WireClosed
        taken += piece
    return taken


def receive(handle: int, seconds: float | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read one message.

    Args:
        handle: file descriptor of the pipe.
        seconds: how long to wait for the whole of it; None: for ever.

    Raises:
        WireTimeout: it did not come in time. WireClosed: the other side ended, or its message is malformed.
    """
    import numpy as np

    deadline = None if seconds is None else time.monotonic() + seconds
    size = struct.unpack(">I", _exactly(handle, 4, deadline))[0]
    if size > _HEADER_AT_MOST:
        raise WireClosed
    try:
        header = json.loads(_exactly(handle, size, deadline))
        listed = header.pop("arrays")
        arrays = {}
        for name, kind, shape in listed:
            lengths = [int(n) for n in shape]
            if kind not in _KINDS or any(n < 0 for n in lengths) or math.prod(lengths) * 8 > _ARRAY_AT_MOST:
                raise WireClosed
            count = math.prod(lengths) * np.dtype(kind).itemsize
            arrays[str(name)] = np.frombuffer(_exactly(handle, count, deadline), dtype=kind).reshape(lengths)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WireClosed from error
    return header, arrays

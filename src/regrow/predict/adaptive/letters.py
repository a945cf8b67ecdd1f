"""Letters under the predictor: the run that a text ends with, the word before it, and the last token's class.

A token of a byte-pair vocabulary says little of where in a word the text stands, and the same word has several
spellings in tokens ("The", " the", "THE"). Letters of every stream are read byte by byte from the tokens' own bytes:
A to Z count as a to z, and every byte of a character beyond ASCII as a letter.

Legend: S streams, V vocabulary, B bytes of all its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from regrow.core.jit import I32x1, I64x1, I64x2, U8x1

RUN, WORD, LENGTH, CLASS = 0, 1, 2, 3  # columns of the state
LONG = 7  # letters from which on a run is long
CLASSES = 9  # of a token by its last byte: none yet, and those of `class_of`


class Letters(NamedTuple):
    """What kernels read and change: `byte_B` and where each token's bytes begin, `start_V1`; `class_V`; and of every
    stream the hash of the run of letters it ends with, that of the word before (0: none), the run's letters, at most
    `LONG`, and the last token's class, `state_S4`."""

    byte_B: U8x1
    start_V1: I64x1
    class_V: I32x1
    state_S4: I64x2

    @classmethod
    def of(cls, pieces: Sequence[bytes], streams: int) -> Letters:
        """Of a vocabulary whose tokens are these bytes; no text yet."""
        sizes = np.array([len(piece) for piece in pieces], np.int64)
        return cls(
            np.frombuffer(b"".join(pieces) + b"\0", np.uint8).copy(), np.concatenate(([0], np.cumsum(sizes))),
            np.array([class_of(piece) for piece in pieces], np.int32), np.zeros((streams, 4), np.int64),
        )  # fmt: skip

    def anew(self) -> Letters:
        """Of the same vocabulary, before any text."""
        return self._replace(state_S4=np.zeros_like(self.state_S4))


def class_of(piece: bytes) -> int:
    """The class of a token: 1 to CLASSES - 1 by its last byte, 0 of no bytes."""
    if not piece:
        return 0
    last = piece[-1:]
    kinds = (
        last.islower(),
        last.isupper(),
        last.isdigit(),
        last == b" ",
        last in b"\r\n",
        last in b".!?",
        last > b"\x7f",
    )
    return 1 + (kinds.index(True) if True in kinds else 7)


@register_jitable
def read_token(s: Any, token: Any, letters: Any) -> None:
    """Stream s goes on with this token. One beyond the vocabulary has no letters."""
    byte_B, start_V1, state_S4 = letters.byte_B, letters.start_V1, letters.state_S4
    if token + 1 >= len(start_V1):
        return
    run, word, length = state_S4[s, RUN], state_S4[s, WORD], state_S4[s, LENGTH]
    for at in range(start_V1[token], start_V1[token + 1]):
        byte = np.int64(byte_B[at])
        if 65 <= byte <= 90:
            byte += 32
        if 97 <= byte <= 122 or byte >= 128:
            run = longer_key(run, byte)
            length = min(length + 1, LONG)
        elif run != 0:
            word, run, length = run, 0, 0
    state_S4[s, RUN], state_S4[s, WORD], state_S4[s, LENGTH] = run, word, length
    state_S4[s, CLASS] = letters.class_V[token]


@register_jitable
def longer_key(key: Any, more: Any) -> Any:
    """The hash, never 0, of what `key` is of and one more."""
    h = (key ^ (np.int64(more) + np.int64(0x632BE5AB))) * np.int64(-7046029254386353131)
    h ^= h >> np.int64(31)
    h *= np.int64(-4658895280553007687)
    h ^= h >> np.int64(29)
    return h if h != 0 else np.int64(1)

"""Range coding of a symbol per row of a matrix of probabilities, with the checks the coder does not make.

constriction's `Categorical` takes any row that has a positive sum: it rescales one that sums to 2, and
codes one with a negative entry into bytes that decode to other symbols. It then turns a row into 24-bit
frequencies in the row's own floating point. We check the rows, and make the frequencies ourselves, as
integers. They reach constriction as whole floats that sum to 2^24 - V, which is the weight it spreads over
V symbols after giving each symbol one: its scale is then exactly 1, every sum it forms is a whole number
below 2^24, exact in float32, and its model is the one we made.

Shape suffixes: S symbols of one call, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from regrow.core.errors import ProofError, StreamError

PRECISION_BITS = 24
TOTAL = 1 << PRECISION_BITS
SUM_TOLERANCE = 1e-6  # how far from 1 a row may sum: float32 rounding of a softmax is well below
_MAX_VOCABULARY = 1 << 20
# Rows may sum to 1 + SUM_TOLERANCE; scaled down by this, their whole parts still fit the weight to be spread.
_HEADROOM = 1 - 2 * SUM_TOLERANCE

Symbols = npt.NDArray[np.int32]
Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Encoder:
    """Codes batches of symbols, one after the other, into one string of bytes.

    After any number of `push` calls: `symbols` counts them, `ideal_bits` sums -log2 of their given
    probabilities (each taken as at least 2^-24, the least the coder can give), `max_abs_row_sum_error` is
    the largest distance of a row sum from 1 so far.
    """

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._family = constriction.stream.model.Categorical(perfect=False)
        self.symbols = 0
        self.ideal_bits = 0.0
        self.max_abs_row_sum_error = 0.0

    def push(self, symbols_S: npt.NDArray[np.integer[Any]], probs_SV: Probabilities) -> None:
        """Append symbol s, coded with row s of `probs_SV` (float32 or float64), for every s in order.

        Raises ProofError for a row that is no distribution, StreamError for a symbol outside the
        vocabulary; nothing is appended then.
        """
        free_SV, error = spread_weights(probs_SV)
        size, vocabulary = free_SV.shape
        symbols_S = np.asarray(symbols_S)
        if symbols_S.shape != (size,):
            raise ValueError(f"{size} rows of probabilities, but symbols of shape {symbols_S.shape}")
        if size == 0:
            return
        strange = symbols_S[(symbols_S < 0) | (symbols_S >= vocabulary)]
        if strange.size:
            raise StreamError(
                f"symbol {int(strange[0])}: is outside the vocabulary of {vocabulary}; "
                "encode with the artifact's own tokenizer."
            )
        given_S = probs_SV[np.arange(size), symbols_S].astype(np.float64)
        self._coder.encode(np.ascontiguousarray(symbols_S, dtype=np.int32), self._family, free_SV)
        self.symbols += size
        self.ideal_bits -= float(np.log2(np.maximum(given_S, 1 / TOTAL)).sum())
        self.max_abs_row_sum_error = max(self.max_abs_row_sum_error, error)

    def finish(self) -> bytes:
        """The coded bytes, a whole number of little-endian 32-bit words; more symbols may still be pushed."""
        return words_to_bytes(self._coder.get_compressed())


class Decoder:
    """Gives back what an `Encoder` was given, from its bytes and the same rows in batches of any sizes.

    Bytes that were altered, cut or coded with other rows give wrong symbols or a StreamError, never a crash
    or a hang: past its end a stream reads as zeros. Whoever stores the bytes stores a checksum of the text
    beside them.
    """

    def __init__(self, data: bytes) -> None:
        """Raises StreamError when `data` is not a whole number of 32-bit words."""
        self._coder = constriction.stream.queue.RangeDecoder(bytes_to_words(data))
        self._family = constriction.stream.model.Categorical(perfect=False)
        self.max_abs_row_sum_error = 0.0

    def pop(self, probs_SV: Probabilities) -> Symbols:
        """The next S symbols (int32), one per row. Raises ProofError for a row that is no distribution."""
        free_SV, error = spread_weights(probs_SV)
        self.max_abs_row_sum_error = max(self.max_abs_row_sum_error, error)
        if len(free_SV) == 0:
            return np.empty(0, dtype=np.int32)
        try:
            symbols_S: Symbols = self._coder.decode(self._family, free_SV)
        except AssertionError as invalid:  # constriction's word for "no encoder wrote this"
            raise StreamError(
                "stream: is damaged or was made with another artifact; "
                "decode the unaltered file with the artifact that made it."
            ) from invalid
        return symbols_S


def spread_weights(probs_SV: Probabilities) -> tuple[npt.NDArray[np.float32], float]:
    """Rows of probabilities as constriction's weights: whole float32 [S, V], every row summing to 2^24 - V.

    A symbol's frequency out of 2^24 is its weight plus one, so none is below 2^-24 and all can be coded. A
    weight is the whole part of probability times 2^24 - V; what the roundings leave over goes to the
    likeliest symbol, which costs less than V / 2^24 nats a symbol. Also returns the largest distance of a
    row sum from 1, summed in float64.

    Raises ProofError when an entry is negative or not finite, or a row sum is further than 1e-6 from 1.
    """
    if probs_SV.ndim != 2 or probs_SV.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"probabilities are a float matrix, got {probs_SV.dtype} of {probs_SV.ndim} dimensions"
        )
    size, vocabulary = probs_SV.shape
    if not 2 <= vocabulary <= _MAX_VOCABULARY:
        raise ValueError(f"a vocabulary of {vocabulary} is outside 2 to {_MAX_VOCABULARY}")
    if size == 0:
        return np.empty((0, vocabulary), dtype=np.float32), 0.0
    with np.errstate(invalid="ignore"):
        error_S = np.abs(probs_SV.sum(axis=1, dtype=np.float64) - 1)
        least = probs_SV.min()
    if not (least >= 0 and error_S.max() <= SUM_TOLERANCE):  # written so that NaN fails it
        raise _no_distribution(probs_SV, error_S)
    free = TOTAL - vocabulary
    free_SV = np.multiply(probs_SV, np.float32(free * _HEADROOM), dtype=np.float32, casting="same_kind")
    np.floor(free_SV, out=free_SV)
    rows_S = np.arange(size)
    free_SV[rows_S, free_SV.argmax(axis=1)] += free - free_SV.sum(axis=1)
    return free_SV, float(error_S.max())


def words_to_bytes(words: npt.NDArray[np.uint32]) -> bytes:
    """32-bit words as little-endian bytes."""
    return words.astype("<u4").tobytes()


def bytes_to_words(data: bytes | memoryview) -> npt.NDArray[np.uint32]:
    """Little-endian bytes as 32-bit words. Raises StreamError when they are not a whole number of words."""
    if len(data) % 4:
        raise StreamError(
            f"stream: {len(data)} bytes are not a whole number of words; get the whole file again."
        )
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def _no_distribution(probs_SV: Probabilities, error_S: npt.NDArray[np.float64]) -> ProofError:
    bad = ~(probs_SV.min(axis=1) >= 0) | ~(error_S <= SUM_TOLERANCE)
    row = int(np.flatnonzero(bad)[0])
    if not np.isfinite(probs_SV[row]).all():
        fault = "has entries that are not finite"
    elif (probs_SV[row] < 0).any():
        fault = f"has the negative entry {probs_SV[row].min():.3g}"
    else:
        fault = f"sums to {probs_SV[row].sum(dtype=np.float64):.9g}, further than {SUM_TOLERANCE:g} from 1"
    return ProofError(f"predicted distribution in row {row}: {fault}; a predictor must normalise every row.")

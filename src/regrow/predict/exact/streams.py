"""Streams predicted exactly: many positions of known text at once, or one position after the other.

Both give the same integers for the same position, whatever the number of streams, the size of chunks and the number of
threads.

Legend: as in `model`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.ngram.model.rows import NgramRows
from regrow.ngram.recent import Past, recent
from regrow.predict.exact import network, rows
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.network import BLOCK
from regrow.predict.exact.product import COLUMNS, ROWS
from regrow.predict.exact.records import Apart, Rings, Span, Work
from regrow.predict.exact.rows import MAX_ORDER, Parts, RowWork, States
from regrow.predict.exact.suggestions import Suggestions, suggest
from regrow.predict.exact.tables import tables

_ROWS_AT_ONCE = 384  # of a kernel call: what it writes stays in a core's second-level cache
_NEVER = -(1 << 30)  # the position of a slot that holds nothing
Compute = Callable[[slice, States, RowWork], None]  # which rows of all, what is known of them, scratch


class Streams:
    """S texts in lock-step, each of which begins after BOS. `chunk` is the most tokens a stream that one call may
    take, `longest` the most of a stream altogether where that is known: there is less to look back at."""

    def __init__(
        self, model: ExactModel, streams: int, *, chunk: int = 1, threads: int = 1, longest: int | None = None
    ) -> None:
        self._model, self._streams, self._chunk = model, streams, chunk
        layers = model.layers
        _, K, E, W, _ = layers.sizes.tolist()
        R = -(-min(W - 1 + chunk, longest or W - 1 + chunk) // COLUMNS) * COLUMNS
        rings = layers.gain.shape[0] * streams * K
        terms, columns = -(-E // 4) * 4, -(-E // COLUMNS) * COLUMNS
        self._rings = Rings(
            np.zeros((rings, R * terms // 4), np.int32), np.zeros((rings, R * columns), np.int8),
            *(np.zeros((rings, R), np.int32) for _ in range(3)),
        )  # fmt: skip
        self._slots = np.full(R, _NEVER, np.int64)
        self._position = 0
        self._fresh_S = np.full(streams, model.bos_id, np.int32)
        self._context_SC = np.full((streams, model.width), -1, np.int32)
        self._push(self._fresh_S[:, None])
        count, reach = layers.recent_input.tolist()
        self._past = Past(count, min(reach, longest or reach), model.bos_id)
        self._inputs_SH = np.full((streams, 2 * self._past.reach + chunk if count else 0), -1, np.int32)
        self._inputs_end = self._past.reach
        # Streams are given out some at a time, to whichever thread is free: one that other work keeps from its core
        # takes fewer. This thread is one of them, and never waits for a thread that has not begun.
        at_once = max(1, min(-(-streams // threads), _ROWS_AT_ONCE // chunk))
        self._spans = [(s, min(s + at_once, streams)) for s in range(0, streams, at_once)]
        threads = min(threads, len(self._spans))
        self._work = [self._scratch(at_once, R) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def intervals(self, tokens_ST: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next T known tokens of every stream: start and length of each one's interval of 2^24, int64 [S, T, 2].

        A token below 0 is none (0, 0): its stream has ended, and takes no other token after it. The streams move on.
        """
        S, T = tokens_ST.shape
        result = np.empty((S * T, 2), np.int64)
        tokens = np.ascontiguousarray(tokens_ST, np.int32).reshape(-1)

        def compute(span: slice, states: States, work: RowWork) -> None:
            parts = (tokens[span], result[span], np.empty((0, 1), np.int32), np.empty(0, np.int64))
            rows.weigh(self._model.head, self._model.memory, states, work, *parts)

        self._read(tokens_ST, compute)
        return result.reshape(S, T, 2)

    def skip(self, tokens_ST: NDArray[np.int64]) -> None:
        """The next T tokens of every stream are known, and nobody asks what they cost. The streams move on."""
        self._read(tokens_ST, lambda span, states, work: None)

    def parts(self, tokens_ST: NDArray[np.int64]) -> tuple[Parts, NDArray[np.int32]]:
        """What mixture, network and memory said before each of the next T known tokens, and the order that matched: R
        = S * T rows, stream by stream. The streams move on."""
        parts, orders = self._new_parts(tokens_ST.size)
        self._read(tokens_ST, self._parts_into(parts, orders))
        return parts, orders

    def weights(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The weights of each stream's next token [S, V] and their sums [S]: what `interval` and `find` take.

        Call `advance` before the next ones.
        """
        result = np.empty((self._streams, self._model.vocab_size), np.int32)
        totals = np.empty(self._streams, np.int64)

        def compute(span: slice, states: States, work: RowWork) -> None:
            parts = (np.empty(0, np.int32), np.empty((0, 2), np.int64), result[span], totals[span])
            rows.weigh(self._model.head, self._model.memory, states, work, *parts)

        self._run(self._fresh_S[:, None], self._context_SC[:, None, :], compute)
        return result, totals

    def next_parts(self) -> tuple[Parts, NDArray[np.int32]]:
        """What `parts` would say of each stream's next token. Call `advance` before the next ones."""
        parts, orders = self._new_parts(self._streams)
        self._run(self._fresh_S[:, None], self._context_SC[:, None, :], self._parts_into(parts, orders))
        return parts, orders

    def advance(self, tokens_S: NDArray[np.int64]) -> None:
        """The streams' next tokens are known (below 0: this stream has ended)."""
        self._fresh_S = np.where(tokens_S < 0, self._model.bos_id, tokens_S).astype(np.int32)
        self._push(self._fresh_S[:, None])

    def _read(self, tokens_ST: NDArray[np.int64], compute: Compute) -> None:
        """Compute the rows before known tokens, and move on past them."""
        known_ST = np.where(tokens_ST < 0, self._model.bos_id, tokens_ST).astype(np.int32)
        inputs_ST = np.concatenate((self._fresh_S[:, None], known_ST[:, :-1]), axis=1)
        self._run(inputs_ST, self._contexts(known_ST), compute)
        self._fresh_S = known_ST[:, -1].copy()
        self._push(known_ST)

    def _new_parts(self, size: int) -> tuple[Parts, NDArray[np.int32]]:
        V = self._model.vocab_size
        return Parts(*(np.empty((size, V), np.int32) for _ in range(3))), np.empty(size, np.int32)

    def _parts_into(self, parts: Parts, orders: NDArray[np.int32]) -> Compute:
        def compute(span: slice, states: States, work: RowWork) -> None:
            into = Parts(*(part[span] for part in parts))
            rows.parts(self._model.head, self._model.memory, states, work, into, orders[span])

        return compute

    def _run(self, inputs_ST: NDArray[np.int32], contexts_STC: NDArray[np.int32], compute: Compute) -> None:
        T = inputs_ST.shape[1]
        if not 1 <= T <= self._chunk:
            raise ValueError(f"a call takes 1 to {self._chunk} tokens a stream, got {T}")
        positions = np.arange(self._position, self._position + T)
        self._slots[positions % len(self._slots)] = positions
        cos, sin = rotary(self._model.turns, self._position, T)
        tokens = np.ascontiguousarray(inputs_ST, np.int32)
        self._keep(tokens)
        self._position += T

        spans = iter(self._spans)

        def share(thread: int) -> None:
            work, row_work = self._work[thread]
            for first, last in spans:
                # Writeable, as kernels ask.
                contexts = contexts_STC[first:last].reshape((last - first) * T, self._model.width).copy()
                found = NgramRows.around(np.empty((0, 1), np.float32), 0)
                if self._model.asked is not None:
                    found = self._model.asked.rows(contexts, threads=1)
                suggested = self._suggested(contexts, found, row_work)
                followed = recent(self._inputs_SH[first:last], T, self._past, end=self._inputs_end)
                span = Span(
                    tokens, *suggested, *followed, self._slots, cos, sin, first, last, int(positions[0])
                )
                network.forward(self._model.layers, self._rings, work, span)
                states = States(work.state, work.state_apart, work.state_norm, contexts, found)
                compute(slice(first * T, last * T), states, row_work)

        helpers = [self._pool.submit(share, n) for n in range(1, len(self._work))] if self._pool else []
        share(0)
        for helper in helpers:
            if not helper.cancel():
                helper.result()

    def _keep(self, inputs_ST: NDArray[np.int32]) -> None:
        """Add them to the inputs that recent text is looked for in; from time to time the oldest make room."""
        if not self._past.count:
            return
        reach, end, T = self._past.reach, self._inputs_end, inputs_ST.shape[1]
        if end + T > self._inputs_SH.shape[1]:
            self._inputs_SH[:, :reach] = self._inputs_SH[:, end - reach : end]
            end = reach
        self._inputs_SH[:, end : end + T] = inputs_ST
        self._inputs_end = end + T

    def _suggested(self, contexts_RC: NDArray[np.int32], found: NgramRows, work: RowWork) -> Suggestions:
        """What the network reads of the memory beside the tokens."""
        model = self._model
        suggested = Suggestions.empty(len(contexts_RC), int(model.layers.memory_input[0]))
        if suggested.tokens.size:
            suggest(model.memory, contexts_RC, found, work, model.head.log2, model.head.exp2, suggested)
        return suggested

    def _contexts(self, tokens_ST: NDArray[np.int32]) -> NDArray[np.int32]:
        """The memory's context of every token of a chunk: int32 [S, T, C]."""
        C = self._model.width
        if C == 0:
            return np.empty((*tokens_ST.shape, 0), np.int32)
        whole = np.concatenate((self._context_SC, tokens_ST[:, :-1]), axis=1)
        return np.lib.stride_tricks.sliding_window_view(whole, C, axis=1)

    def _push(self, tokens_ST: NDArray[np.int32]) -> None:
        if self._model.width:
            joined = np.concatenate((self._context_SC, tokens_ST), axis=1)
            self._context_SC = joined[:, -self._model.width :]

    def _scratch(self, streams: int, slots: int) -> tuple[Work, RowWork]:
        layers, head = self._model.layers, self._model.head
        H, K, E, _, _ = layers.sizes.tolist()
        D, F = layers.embedding.shape[1], layers.down.shape[2] * 4
        M = -(-streams * self._chunk // ROWS) * ROWS
        width = max(layers.qkv.shape[1], layers.up.shape[1], layers.out.shape[1]) * COLUMNS
        terms, columns = -(-E // 4) * 4, -(-E // COLUMNS) * COLUMNS
        V = self._model.vocab_size

        def zeros(kind: type, *shape: int) -> Any:
            return np.zeros(shape, kind)

        work = Work(
            zeros(np.int32, M, D), zeros(np.int64, D),
            zeros(np.uint8, streams * K, (self._chunk * (H // K) + ROWS) * terms),
            zeros(np.int64, M, H), zeros(np.int64, M, D), zeros(np.uint8, BLOCK, max(D, F)),
            Apart.empty(BLOCK), zeros(np.int64, BLOCK), zeros(np.int64, BLOCK), zeros(np.int64, BLOCK),
            zeros(np.int64, ROWS),
            zeros(np.int32, BLOCK, width), zeros(np.int32, width),
            zeros(np.int32, ROWS, slots), zeros(np.int32, slots), zeros(np.int64, slots),
            zeros(np.uint8, ROWS + 1, max(slots, terms)), zeros(np.uint8, ROWS, max(slots, terms)),
            zeros(np.int32, 2 * ROWS, columns), zeros(np.uint8, M, D), Apart.empty(M), zeros(np.int64, M),
        )  # fmt: skip
        over_vocabulary = [zeros(np.int32, V) for _ in range(5)]
        row_work = [
            zeros(np.int32, BLOCK, head.matrix.shape[0] * COLUMNS), *over_vocabulary, zeros(np.float32, V),
            zeros(np.int64, 8), zeros(np.int64, len(head.gate_bias)), zeros(np.int64, MAX_ORDER + 2),
        ]  # fmt: skip
        return work, RowWork(*row_work)


def rotary(turns: NDArray[np.uint64], start: int, length: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Cosines and sines in 2^-14 of positions start.. : int32 [length, pairs]."""
    positions = np.arange(start, start + length, dtype=np.uint64)[:, None]
    angles = positions * turns[None]  # modulo a whole turn
    return cos_turns(angles), cos_turns(angles - np.uint64(1 << 62))


def cos_turns(angles: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Cosine of angles in turns of 2^-64, in 2^-COS_BITS: the table's entries, and a line between them."""
    table = tables().cos.astype(np.int64)
    i = (angles >> np.uint64(54)).astype(np.int64)
    part = ((angles >> np.uint64(38)) & np.uint64(0xFFFF)).astype(np.int64)
    return (table[i] + (((table[i + 1] - table[i]) * part + (1 << 15)) >> 16)).astype(np.int32)

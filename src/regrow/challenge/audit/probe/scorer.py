"""The audit's side of a probe: one scorer, whatever kind of shim drives it, behind one set of questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from regrow.challenge.audit.sandbox.sandbox import Child, ChildError, Limits

#: Tokens of text that a probe scores, by default, and positions at which it asks for whole distributions.
TEXT_TOKENS = 192
ROWS = 16

#: Largest difference, in nats, between two answers that ought to be equal: float32 work at equal shapes
#: repeats closely.
TOLERANCE = 1e-4


@dataclass
class Scorer:
    """A scorer under test. Each `session` is a fresh process with fresh state.

    Attributes:
        path: the shim or artifact. limits: what each process may use.
        kind: `predictor` or `score`. has: optional functions that the shim defines.
        vocab: number of tokens in the alphabet, or None until a distribution was seen.
        tolerance: largest difference in nats that counts as equal.
        tokens: the text to be scored, from the shim or made up.
        text: the raw bytes that `tokens` encode, where the shim gives them.
        document_reset, bos: the shim's claim that state is reset at each document, and the token that begins
            one.
        confined: what held in the child.
    """

    path: Path
    limits: Limits = field(default_factory=Limits)
    readable: tuple[Path, ...] = ()
    kind: str = ""
    has: tuple[str, ...] = ()
    vocab: int | None = None
    tolerance: float = TOLERANCE
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    text: bytes | None = None
    document_reset: bool = False
    bos: int | None = None
    confined: dict[str, str] = field(default_factory=dict)

    @cached_property
    def first_rows(self) -> np.ndarray:
        """Every row of the text from a fresh process: log_probs_TV, nats; of a predictor. Asked for once."""
        with self.session() as session:
            return session.rows(self.tokens)

    @cached_property
    def first_nats(self) -> np.ndarray:
        """What a fresh process charges for each token of the text, nats. Asked for once."""
        if self.kind == "predictor":
            picked: np.ndarray = -self.first_rows[np.arange(len(self.tokens)), self.tokens]
            return picked
        with self.session() as session:
            return session.nats(self.tokens)

    @contextmanager
    def session(self) -> Iterator[ScorerSession]:
        """A fresh process that has seen nothing yet."""
        with Child("shim", self.path, self.readable, self.limits) as child:
            self.confined = child.confined
            yield ScorerSession(self, child)

    def learn(self) -> None:
        """Ask the shim what it is, and settle the text to be scored.

        Raises:
            ChildError: the shim does not load, or says too little.
        """
        with self.session() as session:
            header, arrays = session.child.ask("describe")
            self.kind = str(header.get("kind"))
            self.has = tuple(map(str, header.get("has") or ()))
            self.document_reset = bool(header.get("document_reset"))
            bos, vocab, tolerance = (header.get(key) for key in ("bos", "vocab", "tolerance"))
            self.bos = bos if isinstance(bos, int) else None
            self.vocab = vocab if isinstance(vocab, int) and vocab > 1 else None
            if isinstance(tolerance, int | float) and 0 < tolerance <= 0.05:
                self.tolerance = float(tolerance)
            if self.vocab is None and self.kind == "predictor":
                self.vocab = int(session.start().shape[1])
            if self.vocab is None and "distribution" in self.has:
                self.vocab = int(session.distribution(np.array([self.bos or 0], np.int64)).size)
            if self.vocab is None:
                raise ChildError(f"{self.path}: set VOCAB_SIZE, which cannot be seen from `score` alone.")
            if "tokens" in arrays and arrays["tokens"].size > 1:
                self.tokens = arrays["tokens"].astype(np.int64)
                self.text = arrays["text"].tobytes() if "text" in arrays else None
            else:
                self.tokens = made_up_text(self.vocab, TEXT_TOKENS, self.bos)
        if self.tokens.min() < 0 or self.tokens.max() >= self.vocab:
            raise ChildError(
                f"{self.path}: tokens() gives ids outside 0 to {self.vocab - 1}, the vocabulary."
            )


def largest_change(first: np.ndarray, second: np.ndarray, uncharged: bool = True) -> float:
    """The largest difference of two charges of one text, nats.

    A token that neither charges counts for nothing; with `uncharged` one that only one of them charges is infinite.
    """
    if uncharged and (np.isnan(first) != np.isnan(second)).any():
        return math.inf
    return float(np.nanmax(np.abs(first - second), initial=0.0))


def made_up_text(
    vocab: int, count: int, bos: int | None, seed: int = 1017, avoid: int | None = None
) -> np.ndarray:
    """Tokens with the repetitions of a text: spans copied from before, so that caches have some to remember.

    Args:
        vocab: tokens are below this.
        count: how many.
        bos: a first token, if any; it comes nowhere else.
        seed: another text for another seed.
        avoid: a token that comes nowhere.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    made: list[int] = [] if bos is None else [bos]
    common = random.integers(0, vocab, size=min(vocab, 40))
    while len(made) < count:
        if len(made) > 24 and random.random() < 0.4:
            start = int(random.integers(1, len(made) - 12))
            made.extend(made[start : start + int(random.integers(4, 12))])
        elif random.random() < 0.6:
            made.append(int(random.choice(common)))
        else:
            made.append(int(random.integers(0, vocab)))
    shunned = {bos, avoid}
    stand_in = next(t for t in range(vocab) if t not in shunned)
    head = made[:count]
    return np.array(
        [stand_in if t in shunned and (i or t != bos) else t for i, t in enumerate(head)], np.int64
    )


class ScorerSession:
    """One process of a scorer."""

    def __init__(self, scorer: Scorer, child: Child) -> None:
        self.scorer = scorer
        self.child = child

    def start(self, batch: int = 1) -> np.ndarray:
        """A new predictor, and its first distribution: log_probs_BV, nats."""
        self.child.ask("new", batch=batch)
        return self.predict()

    def predict(self) -> np.ndarray:
        """The predictor's distribution now: log_probs_BV, nats."""
        rows: np.ndarray = self.child.ask("predict")[1]["rows"]
        return rows.reshape(-1, rows.shape[-1])

    def update(self, token: int) -> None:
        """Tell the predictor which token came."""
        self.child.ask("update", {"tokens": np.array([token], np.int64)})

    def distribution(self, prefix: np.ndarray) -> np.ndarray:
        """The shim's own distribution after a prefix: log_probs_V, nats."""
        answered = self.child.ask("distribution", {"tokens": prefix.astype(np.int64)})[1]
        row_V: np.ndarray = answered["rows"][0]
        return row_V

    def nats(self, tokens: np.ndarray) -> np.ndarray:
        """Nats of each token as the scorer counts them, position 0 included (NaN if it does not score it)."""
        tokens = tokens.astype(np.int64)
        if self.scorer.kind == "predictor":
            rows = self.rows(tokens)
            picked: np.ndarray = -rows[np.arange(len(tokens)), tokens]
            return picked
        out: np.ndarray = self.child.ask("score", {"tokens": tokens})[1]["nats"]
        if out.size == tokens.size - 1:
            out = np.concatenate([[math.nan], out])
        if out.size != tokens.size:
            raise ChildError(f"score() gave {out.size} figures for {tokens.size} tokens; give one a token.")
        return out

    def rows(self, tokens: np.ndarray, at: list[int] | None = None) -> np.ndarray:
        """Distributions before each token of a text, from a fresh predictor: log_probs_RV, nats.

        Args:
            tokens: the text, fed after each prediction.
            at: positions to return; all where left out.
        """
        wanted = set(range(len(tokens)) if at is None else at)
        if self.scorer.kind != "predictor":
            return np.stack([self.distribution(tokens[:t]) for t in sorted(wanted)])
        kept = []
        row = self.start()
        for t, token in enumerate(tokens):
            if t in wanted:
                kept.append(row[0])
            if t >= max(wanted):
                break
            self.update(int(token))
            if t + 1 < len(tokens):
                row = self.predict()
        return np.stack(kept)

    def enumerated(self, prefix: np.ndarray, clock: Callable[[], bool]) -> tuple[np.ndarray, bool]:
        """What the scorer would have charged for every token after a prefix, asked one by one: nats_V.

        Args:
            prefix: the tokens before. clock: False when time is up.

        Returns:
            Nats (NaN for those not asked) and whether every token was asked.
        """
        vocab = int(self.scorer.vocab or 0)
        out = np.full(vocab, math.nan)
        order = np.random.Generator(np.random.PCG64(5)).permutation(vocab)
        for asked, token in enumerate(order):
            if asked % 16 == 0 and not clock():
                return out, False
            out[token] = self.nats(np.append(prefix, token))[-1]
        return out, True

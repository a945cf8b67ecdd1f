"""What each of many texts costs under a model: an artifact, with or without a network, or an ARPA file's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.stored import StoredArtifact
from regrow.core.errors import EnvironmentProblem
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.arpa import is_arpa
from regrow.ngram.word_model import WordModel
from regrow.predict.lockstep import IGNORED
from regrow.predict.token_model import TokenModel

if TYPE_CHECKING:
    from regrow.predict.predictor import Predictor

_TEXTS = 4096  # scored at a time, and
_BYTES = 1 << 22  # not many more bytes than this
_CHUNK = 8192  # tokens that a network reads at a time
_LOG2_10 = math.log2(10)


class TextScore(NamedTuple):
    """One text: `bits` of all its tokens; `words` stand between white space; of them `unknown` to a model of words."""

    bits: float
    tokens: int
    bytes: int
    words: int
    unknown: int

    def plus(self, other: TextScore) -> TextScore:
        """Both together."""
        return TextScore(
            self.bits + other.bits, self.tokens + other.tokens, self.bytes + other.bytes,
            self.words + other.words, self.unknown + other.unknown,
        )  # fmt: skip

    @property
    def bpb(self) -> float | None:
        """Bits per byte, None for an empty text."""
        return self.bits / self.bytes if self.bytes else None

    @property
    def perplexity(self) -> float | None:
        """2 to the bits per token; None without tokens, or where it is no number any more."""
        return _power(self.bits, self.tokens)

    @property
    def word_perplexity(self) -> float | None:
        """2 to the bits per word; None without words, or where it is no number any more."""
        return _power(self.bits, self.words)


Scorer: TypeAlias = Callable[[list[bytes]], list[TextScore]]


def load_scorer(path: Path) -> Scorer:
    """What scores texts with the model at `path`; the texts of a call know nothing of each other.

    A model of words scores each text as one sentence, </s> included. Raises ArtifactError or NgramError for a file that
    is no model.
    """
    if path.is_file() and is_arpa(path):
        return _of_words(WordModel.load(path))
    stored = StoredArtifact.read(path)
    memory = stored.memory()
    if not stored.config.model.n_layer and isinstance(memory, NgramModel):
        return _of_tokens(TokenModel(memory, stored.tokenizer))

    from regrow.artifact.artifact import Artifact

    artifact = Artifact.load(path)
    return _of_network(artifact.predictor(1), artifact.tokenizer)


def score_texts(scorer: Scorer, texts: Iterable[bytes]) -> Iterator[TextScore]:
    """The score of each text, in their order; holds some thousands at a time. Raises EnvironmentProblem for a cost that
    is no finite number."""
    waiting, number = iter(texts), 0
    while batch := list(_up_to(waiting)):
        for score in scorer(batch):
            number += 1
            if not math.isfinite(score.bits):
                raise EnvironmentProblem(
                    f"text {number:,}: its cost is no finite number; the arithmetic of this machine or the model is at "
                    "fault: set OMP_NUM_THREADS=1, or make the model again."
                )
            yield score


def _up_to(texts: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for text in islice(texts, _TEXTS):
        yield text
        size += len(text)
        if size >= _BYTES:
            return


def _of_words(model: WordModel) -> Scorer:
    def score(texts: list[bytes]) -> list[TextScore]:
        log10_T, _, unknown_T, start_D1 = model.score_many(texts)
        bits_D = -_LOG2_10 * _sums(log10_T, start_D1)
        unknown_D = _sums(unknown_T, start_D1).astype(np.int64).tolist()
        sizes = np.diff(start_D1).tolist()
        return [
            TextScore(bits, tokens, len(text), tokens - 1, unknown)
            for text, bits, tokens, unknown in zip(texts, bits_D.tolist(), sizes, unknown_D, strict=True)
        ]

    return score


def _of_tokens(model: TokenModel) -> Scorer:
    def score(texts: list[bytes]) -> list[TextScore]:
        log10_T, start_D1 = model.score_many(texts)
        bits_D = -_LOG2_10 * _sums(log10_T, start_D1)
        return _scores(texts, np.diff(start_D1).tolist(), bits_D.tolist())

    return score


def _of_network(predictor: Predictor, tokenizer: Tokenizer) -> Scorer:
    window = predictor.window

    def score(texts: list[bytes]) -> list[TextScore]:
        pieces = [tokenizer.encode(text, threads=1) for text in texts]
        bits = [0.0] * len(pieces)
        # Texts of about one length side by side, so that little is filled up.
        waiting = sorted((i for i in range(len(pieces)) if len(pieces[i])), key=lambda i: (len(pieces[i]), i))
        while waiting:
            longest = min(len(pieces[waiting[-1]]), window)
            rows = [waiting.pop() for _ in range(min(len(waiting), max(1, _CHUNK // longest)))]
            if len(pieces[rows[0]]) > window:
                waiting += rows[:0:-1]  # a text longer than the window is read by itself, window by window
                bits[rows[0]] = _long_bits(predictor, pieces[rows[0]])
                continue
            tokens_ST = np.full((len(rows), longest), IGNORED, np.int64)
            for row, i in enumerate(rows):
                tokens_ST[row, : len(pieces[i])] = pieces[i]
            nats_S = predictor.score_texts(tokens_ST).sum(1)
            for row, i in enumerate(rows):
                bits[i] = float(nats_S[row]) / math.log(2)
        return _scores(texts, list(map(len, pieces)), bits)

    return score


def _long_bits(predictor: Predictor, tokens: NDArray[np.uint16]) -> float:
    predictor.reset()
    nats = 0.0
    for at in range(0, len(tokens), predictor.window):
        tokens_ST = np.full((1, predictor.window), IGNORED, np.int64)
        part = tokens[at : at + predictor.window]
        tokens_ST[0, : len(part)] = part
        nats += float(predictor.score(tokens_ST).mixture_ST.sum())
    return nats / math.log(2)


def _scores(texts: list[bytes], sizes: list[int], bits: list[float]) -> list[TextScore]:
    return [
        TextScore(cost, size, len(text), len(text.split()), 0)
        for text, size, cost in zip(texts, sizes, bits, strict=True)
    ]


def _sums(values_T: NDArray[np.generic], start_D1: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum over each text, which may have no tokens."""
    running = np.concatenate(([0.0], np.cumsum(values_T, dtype=np.float64)))
    result: NDArray[np.float64] = running[start_D1[1:]] - running[start_D1[:-1]]
    return result


def _power(bits: float, parts: int) -> float | None:
    return 2 ** (bits / parts) if parts and bits / parts < 1000 else None

"""N-gram models as Python objects: of words, from an ARPA file, or of tokens, from an artifact of a memory alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.stored import StoredArtifact
from regrow.core.errors import NgramError
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.contexts import contexts_of
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.model.scoring import token_bits
from regrow.ngram.store.arpa import is_arpa
from regrow.ngram.word_model import WordModel

_LOG2_10 = math.log2(10)
_ROWS = 1024  # distributions held at a time


class TokenModel:
    """Scores texts in tokens of an artifact's own, each text after nothing; the methods of `WordModel`.

    Any bytes have tokens, so no word is unknown; and a text is no sentence, so nothing is said of its end.
    """

    def __init__(self, memory: NgramModel, tokenizer: Tokenizer) -> None:
        self._memory, self.tokenizer = memory, tokenizer

    @property
    def order(self) -> int:
        """The longest n-gram, in tokens."""
        return self._memory.max_order

    def score(self, text: str | bytes) -> float:
        """log10 of the text's probability."""
        return float(self.score_many([text])[0].sum())

    def full_scores(self, text: str | bytes) -> Iterator[tuple[float, int, bool]]:
        """Of each token: log10 of its probability, the longest n-gram whose context was seen, and False."""
        stream = self._stream([_bytes(text)])[0]
        log10_T = self.score_many([text])[0].tolist()
        bos, width = self.tokenizer.bos_id, self.order - 1
        for at in range(1, len(stream), _ROWS):
            contexts = contexts_of(stream, width, bos, start=at, stop=min(at + _ROWS, len(stream)))
            for order in self._memory.rows(contexts).matched_order_R.tolist():
                yield log10_T[at - 1], order, False
                at += 1

    def perplexity(self, text: str | bytes) -> float:
        """Perplexity a token. Raises NgramError for a text without tokens."""
        log10_T, _ = self.score_many([text])
        if not len(log10_T):
            raise NgramError("an empty text has no perplexity; give some text")
        return float(10 ** -log10_T.mean())

    def score_many(self, texts: Iterable[str | bytes]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """log10 of every token's probability, of many texts at once: float64 [T] over the tokens of all, and where each
        text begins: int64 [texts + 1]."""
        stream, start_D1 = self._stream([_bytes(text) for text in texts])
        bits_T = token_bits(self._memory, stream, self.tokenizer.bos_id)
        return -bits_T[stream != self.tokenizer.bos_id] / _LOG2_10, start_D1

    def _stream(self, texts: list[bytes]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """The tokens of all texts, each after a BOS, and where each begins if BOS is not counted."""
        bos = np.array([self.tokenizer.bos_id], np.uint16)
        pieces = [self.tokenizer.encode(text, threads=1) for text in texts]
        stream = np.concatenate(
            [np.empty(0, np.uint16), *(part for piece in pieces for part in (bos, piece))]
        )
        return stream, np.cumsum([0, *map(len, pieces)])


def load_ngram(path: Path | str) -> WordModel | TokenModel:
    """The model that `regrow ngram build` wrote, like `kenlm.Model(path)`: of words, in an ARPA file (`.gz` too),
    or of tokens, in an artifact of a memory alone.

    Raises NgramError or ArtifactError for a file that is neither, or an artifact with a network.
    """
    path = Path(path)
    if path.is_file() and is_arpa(path):
        return WordModel.load(path)
    stored = StoredArtifact.read(path)
    memory = stored.memory()
    if stored.config.model.n_layer or not isinstance(memory, NgramModel):
        raise NgramError(
            f"{path}: is no n-gram model by itself; `regrow.Artifact.load` takes it, and so does `regrow score`."
        )
    return TokenModel(memory, stored.tokenizer)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")

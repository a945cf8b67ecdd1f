"""A backoff model over words, with the methods that users of KenLM's Python module know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import NgramError
from regrow.ngram.model.backoff_table import Ngrams, score_tokens, table_of
from regrow.ngram.store.arpa import is_arpa, read_arpa

BEGIN, END, UNKNOWN = b"<s>", b"</s>", b"<unk>"


class WordModel:
    """Scores sentences: words between white space, after <s> and, unless told otherwise, up to </s>.

    Like `kenlm.Model`: `score`, `full_scores`, `perplexity`, `order`, and `word in model`. Text may be str or bytes.
    """

    def __init__(self, words: Sequence[bytes], orders: Sequence[Ngrams]) -> None:
        """`words`: by their id. Raises NgramError without <s> and </s>."""
        self._ids = {word: i for i, word in enumerate(words)}
        if b"<UNK>" in self._ids and UNKNOWN not in self._ids:  # SRILM and others
            self._ids[UNKNOWN] = self._ids[b"<UNK>"]
        for special in (BEGIN, END):
            if special not in self._ids:
                raise NgramError(f"the model has no {special.decode()}; make it of sentences")
        self._begin, self._end = self._ids[BEGIN], self._ids[END]
        # A word that is not there has an id of its own, which no n-gram holds.
        self._unknown = self._ids.get(UNKNOWN, len(words))
        self._table = table_of(orders)

    @classmethod
    def load(cls, path: Path | str) -> WordModel:
        """The model of an ARPA file, packed by gzip or not. Raises NgramError if it is none."""
        path = Path(path)
        if not is_arpa(path):
            raise NgramError(
                f"{path}: is no ARPA file; make one with `regrow ngram build --words` or another tool."
            )
        try:
            return cls(*read_arpa(path))
        except NgramError as error:
            raise error if str(error).startswith(str(path)) else NgramError(f"{path}: {error}.") from None

    @property
    def order(self) -> int:
        """The longest n-gram."""
        return self._table.order

    @property
    def nbytes(self) -> int:
        """Bytes that the n-grams take in memory, the words apart."""
        return self._table.nbytes

    def __contains__(self, word: str | bytes) -> bool:
        return self._ids.get(_bytes(word), self._unknown) != self._unknown

    def score(self, sentence: str | bytes, bos: bool = True, eos: bool = True) -> float:
        """log10 of the sentence's probability; `bos`: after <s>, `eos`: with </s> at its end."""
        log10_T, *_ = self.score_many([sentence], bos, eos)
        return float(log10_T.sum(dtype=np.float64))

    def full_scores(
        self, sentence: str | bytes, bos: bool = True, eos: bool = True
    ) -> Iterator[tuple[float, int, bool]]:
        """Of each word, and </s>: log10 of its probability, the length of the n-gram that said so, and whether the word
        is unknown."""
        log10_T, length_T, unknown_T, _ = self.score_many([sentence], bos, eos)
        yield from zip(log10_T.tolist(), length_T.tolist(), unknown_T.tolist(), strict=True)

    def perplexity(self, sentence: str | bytes) -> float:
        """Perplexity a word, </s> being one."""
        log10_T, *_ = self.score_many([sentence])
        return float(10 ** -log10_T.mean(dtype=np.float64))

    def score_many(
        self, sentences: Iterable[str | bytes], bos: bool = True, eos: bool = True
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.int64]]:
        """What `full_scores` gives, of many sentences at once and thereby much faster: float32, int32, bool [T] over
        the words of all sentences, and where each sentence begins: int64 [sentences + 1]."""
        get, unknown = self._ids.get, self._unknown
        tokens: list[int] = []
        starts = [0]
        for sentence in sentences:
            tokens += [get(word, unknown) for word in _bytes(sentence).split()]
            if eos:
                tokens.append(self._end)
            starts.append(len(tokens))
        tokens_T, start_D1 = np.array(tokens, np.int32), np.array(starts, np.int64)
        log10_T, length_T = np.empty(len(tokens_T), np.float32), np.empty(len(tokens_T), np.int32)
        score_tokens(self._table, tokens_T, start_D1, self._begin if bos else -1, log10_T, length_T)
        return log10_T, np.maximum(length_T, 1), tokens_T == unknown, start_D1


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")

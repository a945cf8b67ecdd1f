"""Which pieces a tokenizer gets: SentencePiece's merges, less those that are hardly used."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from regrow.core.errors import TokenizerError, TooFewTokens
from regrow.data.tokenizer.processor import load_processor
from regrow.data.tokenizer.text import (
    FIRST_PIECE,
    MAX_PIECE_CHARS,
    NOT_FOR_SENTENCEPIECE,
    WORDS,
    rename,
    rename_back,
    segments,
    stretches,
)

# A letter of several bytes becomes a piece if that saves at least one token in this many characters, which is
# about what the last merge of a vocabulary of 1024 saves; rarer ones are spelled in byte tokens.
_CHARS_PER_LETTER = 10_000
_MOST_LETTERS = 0.75  # share of the pieces that may be single letters

# Merges made, over those kept as tokens: the least used are only steps to longer pieces and get no id. On the
# State of the Union, vocabulary 1024: 2.97 bytes per token at 1.0, 3.03 at 1.15, less again from 1.2 on.
_MERGES_TRIED = 1.15


def learn_pieces(texts: Iterable[bytes | memoryview], vocab_size: int) -> tuple[list[bytes], set[bytes]]:
    """The pieces of a vocabulary in order of merging, and those of them that are steps without an id.

    Raises TooFewTokens if the texts do not give that many.
    """
    words = _count_words(texts)
    possible, choice = vocab_size, _choose(words, vocab_size - FIRST_PIECE)
    # A smaller vocabulary takes fewer letters, and so finds fewer merges: what is advised was tried.
    while choice.spare < 0:
        possible += choice.spare
        choice = _choose(words, possible - FIRST_PIECE)
    if possible < vocab_size:
        raise TooFewTokens(
            f"data.vocab_size is {vocab_size}, but the training text is too small or too uniform for more than "
            f"{possible} tokens; give it more text or set data.vocab_size to {possible}.",
            possible,
        )
    letters, merges, counts, spare = choice
    pieces = [*merges, *sorted(letter.encode("utf-8") for letter in letters)]
    return pieces, _least_used(counts, pieces, merges, spare)


class _Choice(NamedTuple):
    letters: set[str]
    merges: list[bytes]
    counts: Counter[str]  # words, cut at letters that are not among these
    spare: int  # pieces found beyond those there is room for


def _choose(words: Counter[str], room: int) -> _Choice:
    letters = _worthwhile_letters(words, room)
    counts = _without_rare_letters(words, letters)
    merges = _merges(counts, int(_MERGES_TRIED * (room - len(letters))))
    return _Choice(letters, merges, counts, len(letters) + len(merges) - room)


def _count_words(texts: Iterable[bytes | memoryview]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for data in (segment for text in texts for segment in segments(text)):
        for part in NOT_FOR_SENTENCEPIECE.split(data.decode("utf-8", "surrogateescape"))[::2]:
            for stretch in stretches(part):
                counts.update(WORDS.findall(stretch))
    return counts


def _worthwhile_letters(counts: Counter[str], room: int) -> set[str]:
    """The characters of several bytes that become pieces: those that save the most tokens."""
    chars: Counter[str] = Counter()
    for word, count in counts.items():
        for char in word:
            chars[char] += count
    least = chars.total() / _CHARS_PER_LETTER
    saved = {c: n * (len(c.encode("utf-8")) - 1) for c, n in chars.items() if c > "\x7f"}
    best = sorted(saved, key=lambda c: (-saved[c], c))[: int(_MOST_LETTERS * room)]
    return {c for c in best if saved[c] >= least}


def _without_rare_letters(counts: Counter[str], letters: set[str]) -> Counter[str]:
    """The words, cut at characters that are neither ASCII nor in `letters`; single characters left out."""
    cut: Counter[str] = Counter()
    for word, count in counts.items():
        kept = word if word.isascii() else "".join(c if c < "\x80" or c in letters else "\0" for c in word)
        for part in kept.split("\0"):
            if len(part) > 1:
                cut[part] += count
    return cut


def _merges(counts: Counter[str], wanted: int) -> list[bytes]:
    """The first `wanted` merges that byte-pair encoding makes of the words; fewer if there are no more."""
    if not counts or wanted <= 0:
        return []
    import sentencepiece

    model = io.BytesIO()
    # Sorted, so that the order of the documents cannot matter.
    words = (f"{rename(word)}\t{count}" for word, count in sorted(counts.items()))
    alphabet = len(set().union(*counts))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=words,
            input_format="tsv",
            model_writer=model,
            model_type="bpe",
            # Unknown, 256 bytes, and every character there is; what lies beyond are merges.
            vocab_size=FIRST_PIECE + alphabet + wanted,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_unicode_script=False,
            split_by_number=False,
            split_by_whitespace=False,
            max_sentencepiece_length=MAX_PIECE_CHARS,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise TokenizerError(
            f"the training text gives no vocabulary ({str(error).strip()}); give it other text."
        ) from error
    trained = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    found = [trained.id_to_piece(i) for i in range(FIRST_PIECE, trained.get_piece_size())]
    return [rename_back(piece).encode("utf-8") for piece in found if len(piece) > 1][:wanted]


def _least_used(
    counts: Counter[str], pieces: Sequence[bytes], merges: Sequence[bytes], spare: int
) -> set[bytes]:
    """The `spare` merges that stand in the encoded words least often, most of them steps to longer ones."""
    if spare == 0:
        return set()
    words = sorted(counts)
    encoded = load_processor(pieces, ()).encode([rename(word) for word in words], return_type="numpy")
    weights = np.repeat([counts[word] for word in words], [len(tokens) for tokens in encoded])
    used = np.bincount(np.concatenate(encoded), weights, minlength=FIRST_PIECE + len(pieces))
    # `merges` come first among the pieces; of two used alike the later, longer one goes.
    rank = sorted(range(len(merges)), key=lambda i: (used[FIRST_PIECE + i], -i))
    return {merges[i] for i in rank[:spare]}

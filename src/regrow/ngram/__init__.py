"""The n-gram memory: exact counts, modified Kneser-Ney, full distributions, and the forms it is stored in."""

from regrow.ngram.counts import NgramCounts, NgramTable
from regrow.ngram.model import NgramModel, contexts_of
from regrow.ngram.rows import NgramRows
from regrow.ngram.scoring import text_bits
from regrow.ngram.text_form import decode_tokens, encode_tokens

__all__ = [
    "NgramCounts",
    "NgramModel",
    "NgramRows",
    "NgramTable",
    "contexts_of",
    "decode_tokens",
    "encode_tokens",
    "text_bits",
]

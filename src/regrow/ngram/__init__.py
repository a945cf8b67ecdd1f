"""The n-gram memory: exact counts, modified Kneser-Ney, full distributions, and the forms it is stored in."""

from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts import NgramCounts, NgramTable
from regrow.ngram.kneser_ney import Discounts
from regrow.ngram.model import NgramModel
from regrow.ngram.rows import NgramRows
from regrow.ngram.scoring import text_bits
from regrow.ngram.text_form import decode_tokens, encode_tokens
from regrow.ngram.tuning import tune_discounts

__all__ = [
    "Discounts",
    "NgramCounts",
    "NgramModel",
    "NgramRows",
    "NgramTable",
    "contexts_of",
    "decode_tokens",
    "encode_tokens",
    "text_bits",
    "tune_discounts",
]

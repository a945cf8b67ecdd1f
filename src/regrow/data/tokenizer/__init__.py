"""A byte-pair tokenizer that gives back any bytes.

SentencePiece finds the merges and applies them, but it does not keep all text as it is: it writes a space as
U+2581 and replaces bytes that are not UTF-8. So it is handed only what it keeps, with white space renamed to
control characters; everything else becomes byte tokens, and decoding is a table from ids to bytes.

Ids: 0 is the byte 0, 1 is BOS (the start of a document or stream: nothing encodes to it, and it decodes to
nothing), 2 to 256 are the bytes 1 to 255, and from 257 come the pieces of two bytes or more, in the order in
which they were merged. Every byte has one token and every other token is a piece: of a small vocabulary none
is idle.

The payload is the pieces alone. The message from which SentencePiece loads them is written anew each time, so
a payload depends neither on its version nor on its order of fields.
"""

from regrow.data.tokenizer.text import segments
from regrow.data.tokenizer.tokenizer import Tokenizer

__all__ = ["Tokenizer", "segments"]

"""A stored tokenizer means the same tokens for ever: artifacts and compressed files live on it."""

from __future__ import annotations

from regrow.data.tokenizer import Tokenizer

# Trained on a few lines; b" recomm", b"gress", b"ited", b"comm" and b" peop" are steps without an id.
PAYLOAD = bytes.fromhex(
    "0178da358db10dc240100473577115d0844b000ab0ecc358e27d96f90228829c2e88c8dc0985fcb07e8968a5dbd939cb5c1dbf63"
    "5939ae588b1db13316d882ad340d5da60f7cc0673c983237272562169c452be322d8e5090e9a9c76edac452cd2cbdf0aeeb23ef5"
    "915299b20fc516b5655cd517796a2bd7de513b7d91b30ef67d25ff972a5fd95e6c6fb60fdfc7931f2d2d6bae"
)
TEXT = "The Congress\r\n\x00\u2581 of the\tgrößte people.\n\n".encode() + b"\xff\x10"
TOKENS = [284, 293, 14, 11, 0, 227, 151, 130, 280, 260, 10, 261, 297, 296, 117, 102, 292, 283, 256, 17]


def test_a_stored_tokenizer_encodes_as_it_did() -> None:
    """Pieces, steps, bytes that are not text, and renamed white space, each under the id it was given."""
    tokenizer = Tokenizer.from_bytes(PAYLOAD)
    assert tokenizer.vocab_size == 300
    assert tokenizer.encode(TEXT).tolist() == TOKENS
    assert tokenizer.decode(TOKENS) == TEXT
    assert tokenizer.sha256 == "a170ad07adecef0d7926618e3b2ea052f1c2e6ca76a43c64b4f435c25f1866a0"

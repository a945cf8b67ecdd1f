"""The bytes divided by must be the raw text's, not a sum over a table of token lengths."""

from __future__ import annotations

from regrow.challenge.audit.probe.probe import Answer, probe, skipped, verdict
from regrow.challenge.audit.probe.scorer import Scorer

#: Bytes by which the count may differ: a leading space that the tokenizer adds and takes away.
_SLACK = 1


@probe(
    "count-bytes",
    "The bytes divided by are the bytes of the text",
    why="Too many bytes in the denominator make any model look better.",
    clears="len(raw text) before tokenising.",
)
def count_bytes(scorer: Scorer) -> Answer:
    text, decoded = scorer.text, None
    with scorer.session() as session:
        if "decode" in scorer.has:
            decoded = session.child.ask("decode", {"tokens": scorer.tokens})[1]["text"].tobytes()
        if text is not None and decoded is not None and decoded.strip(b" ") != text.strip(b" "):
            message = "Decoding the tokens does not give the text back: what is scored is another text."
            return "failed", message, {"text_bytes": len(text), "decoded_bytes": len(decoded)}
        true = text if text is not None else decoded
        if "byte_count" not in scorer.has or true is None:
            return skipped("The shim gives no `byte_count`, or neither TEXT nor `decode`.")
        used = int(session.child.ask("byte_count", {"tokens": scorer.tokens})[0]["count"])
    return verdict(
        abs(used - len(true)) <= _SLACK,
        f"The text has {len(true)} bytes and {used} are divided by.",
        f"The figure divides by {used} bytes, but the text has {len(true)}.",
        bytes_used=used, bytes_true=len(true), ratio=used / max(1, len(true)),
    )  # fmt: skip

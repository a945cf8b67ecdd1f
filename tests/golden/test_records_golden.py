"""The bytes of records: if this fails, records written before cannot be read any more. Change the version instead."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from regrow.artifact.stored import StoredArtifact, store_memory
from regrow.core.config.schema import Config, MemoryConfig
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.store.text_form import encode_tokens
from regrow.predict.codec import Codec
from regrow.predict.record_codec import RecordCodec, RecordForm
from regrow.predict.record_file import RecordReader, RecordWriter

RECORDS = [b"GET /home 200", b"GET /cart 404", b"", b"two\nlines", b"\x00\xff\x80", b"GET /home 200" * 40]
CODED = [
    "40",
    "dcc0",
    "ff",
    "ff74776f0a6c696e6573",
    "ff00ff80",
    "62a6fed7fd24aac935a49a9e0ace7cad4aa41852219d6cb48df4a5dad6255347e881e2c777ade3c67ba014518b11c57b9a53226098927988",
]
LED = "8e"
FILE = (
    "aa524735c0ffee1100076d657373616765f9255fe906140105010602370002a2f514002af713485fa5a7afecf9fbc640dcc0"
    "ffff74776f0a6c696e6573ff00ff8062a6fed7fd24aac935a49a9e0ace7cad4aa41852219d6cb48df4a5dad6255347e881e2"
    "c777ade3c67ba014518b11c57b9a5322609892798800060078ff8b12"
)
CHECKED_FILE = (
    "aa524736c0ffee1100076d6573736167650245f1f9e906140105010606370002a2f514002af71348209ea1ac4005c2dcc076"
    "3bff0000ff74776f0a6c696e6573ee5bff00ff80ab9a62a6fed7fd24aac935a49a9e0ace7cad4aa41852219d6cb48df4a5da"
    "d6255347e881e2c777ade3c67ba014518b11c57b9a53226098927988f6cc00060078ff8b12"
)
SHA = "c0ffee11" + "00" * 28


def model(folder: Path) -> tuple[RecordCodec, str]:
    """A memory of twelve lines, made of integers alone."""
    tokenizer = Tokenizer(
        [b"GE", b"GET", b" /", b"ho", b"me", b"home", b"ca", b"rt", b"cart", b" 2", b"00", b" 4", b"04"]
    )
    lines = [b"GET /home 200\n", b"GET /cart 200\n", b"GET /home 404\n"] * 4
    tokens = np.concatenate(
        [np.array([tokenizer.bos_id, *tokenizer.encode(line)], np.uint16) for line in lines]
    )
    counts = NgramCounts(tokenizer.vocab_size, 4, bos_id=tokenizer.bos_id)
    counts.add(tokens)
    path = folder / "artifact.safetensors"
    config = Config(memory=MemoryConfig(max_order=4))
    store_memory(path, config, tokenizer, encode_tokens(tokens, tokenizer.vocab_size), counts.sha256())
    return Codec.load(path).records(), StoredArtifact.read(path).sha256


def test_coded_records_are_what_they_were(tmp_path: Path) -> None:
    codec, _ = model(tmp_path)
    assert [one.hex() for one in codec.encode_many(RECORDS)] == CODED
    assert codec.decode_many([bytes.fromhex(one) for one in CODED]) == RECORDS
    assert codec.with_form(RecordForm(b"\n")).encode(RECORDS[0]).hex() == LED


def test_a_file_is_what_it_was(tmp_path: Path) -> None:
    codec, _ = model(tmp_path)
    assert file_of(codec).hex() == FILE
    assert file_of(codec.checked(2)).hex() == CHECKED_FILE
    for written in (FILE, CHECKED_FILE):
        reader = RecordReader(io.BytesIO(bytes.fromhex(written)), "file")
        blocks = list(reader.decoded(reader.codec(codec, SHA)))
        assert [record for block in blocks for record in block] == RECORDS


def file_of(codec: RecordCodec) -> bytes:
    out = io.BytesIO()
    writer = RecordWriter(out, codec, SHA, "message")
    for record in RECORDS:
        writer.add(record)
    writer.finish()
    return out.getvalue()

"""Records: small, each by itself, the same bytes in any company; and their file, whose damage is named."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest

from regrow.artifact.stored import store_memory
from regrow.core.config.schema import Config, MemoryConfig
from regrow.core.errors import StreamError
from regrow.data.tokenizer import Tokenizer
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.store.text_form import encode_tokens
from regrow.predict.codec import Codec
from regrow.predict.record_codec import FORMS, MAX_RECORD_BYTES, RAW, RecordCodec, RecordForm
from regrow.predict.record_file import BLOCK_RECORDS, CHECKED, RecordReader, RecordWriter

SHA = "c0ffee11" + "00" * 28
ODD = [
    b"",
    b"\n",
    b"\0",
    b"\0" * 5000,
    b"\xff",
    b"a\nb\n",
    b"ends\n",
    bytes(range(256)),
    "né\ud800".encode("utf-8", "surrogatepass"),
]


def log_lines(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [
        f'{{"user":{rng.randrange(100)},"page":"{rng.choice(["home", "cart", "search"])}","ok":true}}'.encode()
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def memory_codec(tmp_path_factory: pytest.TempPathFactory) -> RecordCodec:
    """Of a memory that has seen lines as documents."""
    lines = [line + b"\n" for line in log_lines(1, 2000)]
    tokenizer = Tokenizer.train(lines, 320)
    tokens = np.concatenate(
        [np.array([tokenizer.bos_id, *tokenizer.encode(line)], np.uint16) for line in lines]
    )
    counts = NgramCounts(tokenizer.vocab_size, 6, bos_id=tokenizer.bos_id)
    counts.add(tokens)
    path = tmp_path_factory.mktemp("records") / "artifact.safetensors"
    config = Config(memory=MemoryConfig(max_order=6))
    store_memory(path, config, tokenizer, encode_tokens(tokens, tokenizer.vocab_size), counts.sha256())
    return RecordCodec.load(path, threads=2)


@pytest.fixture(scope="module")
def network_codec(small_artifact: Path) -> RecordCodec:
    """Of network and memory, with a window of 64 tokens."""
    return Codec.load(small_artifact, threads=2).records()


def file_of(codec: RecordCodec, records: list[bytes], **end: bool) -> bytes:
    out = io.BytesIO()
    writer = RecordWriter(out, codec, SHA)
    for record in records:
        writer.add(record)
    writer.finish(**end)
    assert writer.written == len(out.getvalue())
    return out.getvalue()


def records_of(codec: RecordCodec, stored: bytes) -> list[bytes]:
    reader = RecordReader(io.BytesIO(stored), "file")
    return [record for block in reader.decoded(reader.codec(codec, SHA)) for record in block]


def test_unseen_lines_take_less_than_two_bytes_beyond_their_bits(memory_codec: RecordCodec) -> None:
    records = log_lines(2, 300)
    coded, bits = memory_codec.encode_many(records), memory_codec.bits(records)
    assert all(len(one) < cost / 8 + 1 for one, cost in zip(coded, bits, strict=True))
    assert sum(bits) / 300 < 20  # 7 bits of user, 1.6 of page: the rest of a line is free
    assert len(file_of(memory_codec, records)) < sum(bits) / 8 + 2 * 300
    assert memory_codec.decode_many(coded) == records


@pytest.mark.parametrize("form", FORMS)
def test_any_bytes_come_back_with_any_form(
    network_codec: RecordCodec, memory_codec: RecordCodec, form: RecordForm
) -> None:
    for codec in (network_codec.with_form(form), memory_codec.with_form(form)):
        coded = codec.encode_many(ODD)
        assert codec.decode_many(coded) == ODD
        assert all(len(one) <= len(record) + 1 for one, record in zip(coded, ODD, strict=True))


def test_a_record_has_the_same_bytes_alone_in_any_batch_and_on_any_threads(
    network_codec: RecordCodec,
) -> None:
    """Long and short together: batches are made, halved and given more room on the way."""
    rng = random.Random(3)
    text = b"the state of the union is strong, and so is the union of the states. " * 8
    records = [text[: rng.randrange(500)] for _ in range(70)] + [text * 2, b""]
    coded = network_codec.encode_many(records)
    alone = RecordCodec(network_codec.model, network_codec.tokenizer, threads=1)
    assert [alone.encode(record) for record in records[:5] + records[-2:]] == coded[:5] + coded[-2:]
    assert alone.encode_many(records) == coded
    order = rng.sample(range(len(records)), len(records))
    assert network_codec.decode_many([coded[i] for i in order]) == [records[i] for i in order]
    assert [alone.decode(one) for one in coded[:5]] == records[:5]


def test_small_batches_are_no_other_bytes(
    network_codec: RecordCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that has no memory for all of its records is taken apart."""
    records = [b"the union of the states " * n for n in range(20)]
    coded = network_codec.encode_many(records)
    monkeypatch.setattr("regrow.predict.record_codec._RING_CELLS", 1 << 18)
    assert network_codec.encode_many(records) == coded
    assert network_codec.decode_many(coded) == records


def test_what_is_too_long_or_does_not_compress_is_stored(memory_codec: RecordCodec) -> None:
    noise = random.Random(4).randbytes(2000)
    long = b"x" * (MAX_RECORD_BYTES + 1)
    assert memory_codec.encode_many([noise, long]) == [bytes([RAW]) + noise, bytes([RAW]) + long]
    assert memory_codec.bits([noise]) == [16000.0]


def test_a_sample_finds_the_form(memory_codec: RecordCodec) -> None:
    lines = log_lines(5, 50)
    assert memory_codec.fitted(lines).form == RecordForm()
    assert memory_codec.fitted([line + b"\n" for line in lines]).form == RecordForm()
    assert memory_codec.fitted([]).form == RecordForm()


def test_the_number_of_tokens_is_coded_exactly(memory_codec: RecordCodec) -> None:
    counted = memory_codec.with_form(RecordForm(counted=True))
    records = [b"x\n" * n for n in (0, 1, 2, 3, 63, 64, 127, 128, 300, 1000)]
    assert memory_codec.decode_many(counted.encode_many(records)) == records  # a decoder needs no `counted`


def test_a_file_comes_back_whole_and_in_parts(memory_codec: RecordCodec) -> None:
    records = log_lines(6, 3 * CHECKED + 5)
    stored = file_of(memory_codec, records, open_line=True)
    assert records_of(memory_codec, stored) == records
    reader = RecordReader(io.BytesIO(stored), "file")
    codec = reader.codec(memory_codec, SHA)
    for place in (len(records), 1, CHECKED, CHECKED + 1, 100):
        assert reader.record(codec, place) == records[place - 1]
    with pytest.raises(StreamError, match=f"file: has no record 198; it has {len(records)}, counted from 1"):
        reader.record(codec, 198)
    assert records_of(memory_codec, file_of(memory_codec, [])) == []


def test_blocks_are_decoded_one_after_the_other(
    memory_codec: RecordCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BLOCK_RECORDS > 1000
    monkeypatch.setattr("regrow.predict.record_file.BLOCK_RECORDS", 50)
    records = log_lines(7, 120)
    stored = file_of(memory_codec, records)
    assert records_of(memory_codec, stored) == records
    reader = RecordReader(io.BytesIO(stored), "file")
    assert [(block.first, len(block.lengths_N)) for block in reader.index()] == [(1, 50), (51, 50), (101, 20)]
    assert reader.record(memory_codec, 101) == records[100]


def test_a_checksum_follows_each_record(memory_codec: RecordCodec, network_codec: RecordCodec) -> None:
    for codec in (memory_codec, network_codec):
        plain = codec.encode_many(ODD)
        for size in (1, 2, 4):
            checked = codec.checked(size)
            coded = checked.encode_many(ODD)
            assert [one[:-size] for one in coded] == plain
            assert checked.decode_many(coded) == ODD
            assert checked.decode_many(coded[::-1]) == ODD[::-1]
            assert checked.bits(ODD) == codec.bits(ODD)
    assert memory_codec.checked(3).fitted(log_lines(5, 50)).form == RecordForm(checksum=3)
    assert memory_codec.checked(2).checked(0).form == RecordForm()
    with pytest.raises(ValueError, match="a checksum has at most 4 bytes, not 5"):
        memory_codec.checked(5)


def test_a_file_says_that_its_records_have_checksums(memory_codec: RecordCodec) -> None:
    records = log_lines(6, 2 * CHECKED + 5)
    stored = file_of(memory_codec.checked(2), records, open_line=True)
    assert records_of(memory_codec, stored) == records
    reader = RecordReader(io.BytesIO(stored), "file")
    assert reader.checksum == 2 and RecordReader(io.BytesIO(file_of(memory_codec, [])), "file").checksum == 0
    codec = reader.codec(memory_codec, SHA)
    for place in (len(records), 1, CHECKED, 100):
        assert reader.record(codec, place) == records[place - 1]
    # Two bytes a record instead of four for each 64; the rest is as without.
    groups = -(-len(records) // CHECKED)
    index = -8  # lengths differ as before, but the index may take a byte or two more or less
    more = len(stored) - len(file_of(memory_codec, records, open_line=True))
    assert 2 * len(records) - 4 * groups + index <= more <= 2 * len(records) - 4 * groups - index


def test_the_lead_of_a_file_is_read_from_it(
    network_codec: RecordCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small artifact has met lines only in the middle of its one document."""
    lead = network_codec.with_form(RecordForm(b"\n"))
    out = io.BytesIO()
    writer = RecordWriter(out, lead, SHA)
    monkeypatch.setattr(lead, "fitted", lambda records: lead)
    writer.add(b"the union")
    writer.finish()
    assert records_of(network_codec, out.getvalue()) == [b"the union"]

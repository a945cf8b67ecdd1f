"""parameter-golf shards to a data folder: its tokens stay, its held-out text becomes bytes again.

What counts is `val.txt`, since bits per byte are counted over its bytes. Where the challenge's own documents
(`docs_selected.jsonl`) lie near the shards, it holds the first of them, as many as the validation shards have, each
checked to give exactly the shard's tokens. Otherwise it holds what the tokens decode to, document by document,
without the space that the tokenizer put in front. Documents are joined by one newline, as everywhere in regrow; that
newline is predicted and paid for in place of the token that begins a document. Whether decoded text encodes to the
same tokens is counted and said.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regrow.core.errors import DataError
from regrow.core.files import sha256_hex, utf8
from regrow.core.progress import Progress, Silent, Task
from regrow.data.build import check_out, write_held_out_tokens
from regrow.data.dataset import SCHEMA, VAL_TEXT, DataInfo, Dataset
from regrow.data.folder_writer import FolderWriter
from regrow.data.readers import read_bytes, read_documents
from regrow.data.shards.foreign_tokenizer import (
    BOUNDARY,
    UNKNOWN,
    OwnVocabulary,
    Vocabulary,
    load_foreign,
)
from regrow.data.shards.format import (
    SHARD_TOKENS,
    check_tokens,
    find_shards,
    read_shard,
    shard_number,
    write_shard,
)
from regrow.data.source_files import SourceFiles
from regrow.data.sources import listed
from regrow.data.tokenizer import Tokenizer

DOCUMENTS = "docs_selected.jsonl"
OWN_TOKENIZER = "tokenizer.bin"
_CHUNK = 1 << 22  # tokens looked at in one go
_BATCH = 256  # documents encoded in one go
_SAMPLE = 200  # training documents that are encoded again, to see whether the tokenizer is theirs
_FOREIGN_SHARE = 0.5  # if fewer documents encode back to their tokens, the tokenizer is not theirs


def build_from_shards(
    sources: list[str],
    out: Path | str,
    progress: Progress | None = None,
    *,
    tokenizer: Path | None = None,
    name: str = "",
) -> Dataset:
    """Write the data folder `out` from shards (files, or the folder that holds them).

    `tokenizer`: the model they were made with; None: the one that lies with them, as in the challenge's own
    layout. Raises DataError, naming file and field, for damaged shards, tokens beyond the vocabulary and shards of
    another tokenizer; TokenizerError for a model that cannot be used.
    """
    progress = progress or Silent()
    out = Path(out)
    for source in sources:
        check_out(out, source)
    train, val = find_shards([Path(source) for source in sources])
    vocabulary = _vocabulary(train[0].parent, tokenizer)
    shards = {path: read_shard(path) for path in [*train, *val]}  # mapped: damage shows before any work
    notes = _left_out([Path(source) for source in sources], shards)
    facts = [(path.name, len(tokens), path.stat().st_mtime_ns) for path, tokens in shards.items()]
    key = sha256_hex(repr(facts).encode() + vocabulary.tokenizer.to_bytes())
    with FolderWriter(out, key) as writer:
        writer.write("tokenizer.bin", vocabulary.tokenizer.to_bytes())
        held_out = np.concatenate([shards[path] for path in val]) if len(val) > 1 else shards[val[0]]
        for path in val:
            _check(shards[path], vocabulary, path)
        _sample_check(shards[train[0]], vocabulary, train[0])
        with progress.task("held-out documents", unit="documents") as task:
            sizes = _write_val_text(held_out, vocabulary, val[0], writer, task, notes)
        total = sum(len(shards[path]) for path in train)
        with progress.task("training shards", total, "tokens") as task:
            info = _train_part(train, shards, vocabulary, writer, task)
        info.name = name or utf8(train[0].resolve().parent.name)
        with progress.task("tokenising val.txt", writer.path(VAL_TEXT).stat().st_size, "B") as task:
            write_held_out_tokens(vocabulary.tokenizer, writer, task, None, info)
        info.notes, info.val_documents = notes, sizes
        writer.finish(info)
    for note in notes:
        progress.log(note)
    return Dataset.load(out)


def _left_out(sources: list[Path], shards: Container[Path]) -> list[str]:
    """Of the folders of shards what is neither a shard nor their tokenizer or documents, a line each."""
    lines: list[str] = []
    for source in sources:
        found = SourceFiles(source)
        for path in found.files:
            if path not in shards and path.suffix != ".model" and path.name not in (DOCUMENTS, OWN_TOKENIZER):
                found.leave_out(path, "not a shard")
        lines += found.left_out
    return list(listed(lines))


def write_shards(data: Dataset, folder: Path, shard_tokens: int = SHARD_TOKENS) -> list[Path]:
    """Write a dataset as shards with their tokenizer (`tokenizer.bin`) beside them; returns the shards.

    The held-out text is one document. `build_from_shards` makes an equal dataset of them, but for the groups:
    each document then is its own.
    """
    bos = data.tokenizer.bos_id
    val = np.concatenate([np.array([bos], np.uint16), data.val_tokens])
    paths = [folder / "regrow_val_000000.bin"]
    write_shard(paths[0], val)
    for number, at in enumerate(range(0, len(data.train_tokens), shard_tokens)):
        paths.append(folder / f"regrow_train_{number:06d}.bin")
        write_shard(paths[-1], data.train_tokens[at : at + shard_tokens])
    (folder / OWN_TOKENIZER).write_bytes(data.tokenizer.to_bytes())
    return paths


def _vocabulary(folder: Path, given: Path | None) -> Vocabulary:
    if given is not None:
        path = given
    else:
        own = folder / OWN_TOKENIZER
        places = [folder, folder.parent / "tokenizers", folder.parent.parent / "tokenizers"]
        found = [own] if own.exists() else [m for place in places for m in sorted(place.glob("*.model"))]
        # The challenge names both after the size: fineweb10B_sp1024 and fineweb_1024_bpe.model.
        size = folder.resolve().name.rpartition("_sp")[2]
        named = [m for m in found if size.isdigit() and f"_{size}_" in m.name]
        found = named or found
        if len(found) != 1:
            what = (
                "no tokenizer beside the shards" if not found else f"{len(found)} tokenizers near the shards"
            )
            raise DataError(
                f"{folder}: {what}; put their SentencePiece .model file there or name it with --tokenizer."
            )
        path = found[0]
    if path.suffix == ".bin":
        return OwnVocabulary(Tokenizer.from_bytes(read_bytes(path), str(path)))
    return load_foreign(path)


def _check(tokens: NDArray[np.uint16], vocabulary: Vocabulary, path: Path) -> None:
    """Raise DataError for tokens beyond the vocabulary or without meaning, and where no document begins."""
    begins = False
    for at in range(0, len(tokens), _CHUNK):
        chunk = tokens[at : at + _CHUNK]
        _translate(chunk, vocabulary, path, at)
        begins = begins or bool((chunk == vocabulary.starts).any())
    if not begins:
        raise DataError(
            f"{path}: has no token {vocabulary.starts}, which begins a document; it was made with another "
            "tokenizer, name the right one with --tokenizer."
        )


def _translate(chunk: NDArray[np.uint16], vocabulary: Vocabulary, path: Path, at: int) -> NDArray[np.int32]:
    check_tokens(chunk, len(vocabulary.to_ours), path, at)
    ours: NDArray[np.int32] = vocabulary.to_ours[chunk]
    if (ours == UNKNOWN).any():
        place = int(np.argmax(ours == UNKNOWN))
        raise DataError(
            f"{path}: token {chunk[place]} at place {at + place:,} stands for no text in this tokenizer; the shard "
            "was made with another one, name it with --tokenizer."
        )
    return ours


def _documents(tokens: NDArray[np.uint16], starts: int) -> Iterator[NDArray[np.uint16]]:
    """The tokens of each document, without the one that begins it."""
    begins = np.flatnonzero(tokens == starts)
    if not len(begins) or begins[0] > 0:
        begins = np.concatenate([[-1], begins])
    for start, end in zip(begins, [*begins[1:], len(tokens)], strict=True):
        yield tokens[start + 1 : end]


def _decoded(tokens: NDArray[np.uint16], vocabulary: Vocabulary) -> bytes:
    ours = vocabulary.to_ours[tokens]
    text = vocabulary.tokenizer.decode(ours[ours != BOUNDARY])
    return text[1:] if vocabulary.adds_space and text[:1] == b" " else text


def _same(texts: list[bytes], tokens: list[NDArray[np.uint16]], vocabulary: Vocabulary) -> int:
    """How many of the texts encode to exactly these tokens."""
    encoded = vocabulary.encode(texts)
    return sum(
        np.array_equal(a, b[vocabulary.to_ours[b] != BOUNDARY]) for a, b in zip(encoded, tokens, strict=True)
    )


def _sample_check(tokens: NDArray[np.uint16], vocabulary: Vocabulary, path: Path) -> None:
    """Raise DataError if the first training documents do not encode back to what they are."""
    _translate(tokens[:_CHUNK], vocabulary, path, 0)
    sample = list(islice(_documents(tokens[:_CHUNK], vocabulary.starts), 1, 1 + _SAMPLE))[:-1]
    if sample:
        same = _same([_decoded(document, vocabulary) for document in sample], sample, vocabulary)
        if same < _FOREIGN_SHARE * len(sample):
            raise _another(path, same, len(sample))


def _another(path: Path, same: int, of: int) -> DataError:
    return DataError(
        f"{path}: only {same} of {of} documents encode back to their own tokens; the shard was made with another "
        "tokenizer, name the right one with --tokenizer."
    )


def _write_val_text(
    tokens: NDArray[np.uint16],
    vocabulary: Vocabulary,
    shard: Path,
    writer: FolderWriter,
    task: Task,
    notes: list[str],
) -> list[int]:
    """Write val.txt, from the documents themselves if they are near and are these, else from the tokens; returns the
    documents' sizes."""
    for folder in (shard.parent, shard.parent.parent, shard.parent.parent.parent):
        path = folder / DOCUMENTS
        if path.exists():
            given = (bytes(t) for t in read_documents(path))
            wrong, sizes = _write_texts(tokens, vocabulary, writer, task, given)
            if wrong == 0:
                notes.append(
                    f"val.txt holds the documents of {DOCUMENTS}, each of which gives its shard's tokens"
                )
                return sizes
            notes.append(f"{path}: {wrong} documents do not give their shard's tokens, so it was not used")
            break
    wrong, sizes = _write_texts(tokens, vocabulary, writer, task, None)
    number = len(sizes)
    if number - wrong < _FOREIGN_SHARE * number:
        raise _another(shard, number - wrong, number)
    notes.append(
        f"val.txt holds what the tokens of {number} documents decode to; {wrong} of them do not encode back to the "
        "same tokens"
    )
    if vocabulary.loses:
        notes.append(
            f"the tokenizer {vocabulary.loses}: the original text may have had other bytes, which only "
            f"{DOCUMENTS} beside the shards can tell"
        )
    return sizes


def _write_texts(
    tokens: NDArray[np.uint16],
    vocabulary: Vocabulary,
    writer: FolderWriter,
    task: Task,
    given: Iterator[bytes] | None,
) -> tuple[int, list[int]]:
    """Write `given` texts, or decoded ones, one a document; returns how many do not encode to their tokens, and the
    size of each."""
    wrong = 0
    sizes: list[int] = []
    documents = _documents(tokens, vocabulary.starts)
    with writer.explained(), writer.path(VAL_TEXT).open("wb") as file:
        while batch := list(islice(documents, _BATCH)):
            if given is None:
                texts = [_decoded(document, vocabulary) for document in batch]
            else:
                texts = list(islice(given, len(batch)))
                wrong += len(batch) - len(texts)
            pairs = [(a, b) for a, b in zip_longest(texts, batch) if a is not None]
            wrong += len(pairs) - _same([a for a, _ in pairs], [b for _, b in pairs], vocabulary)
            file.write((b"\n" if sizes else b"") + b"\n".join(texts))
            sizes += map(len, texts)
            task.advance(len(batch))
    return wrong, sizes


def _train_part(
    train: list[Path],
    shards: dict[Path, NDArray[np.uint16]],
    vocabulary: Vocabulary,
    writer: FolderWriter,
    task: Task,
) -> DataInfo:
    tokens = writer.array("train_tokens.npy", np.uint16)
    offsets = writer.array("train_docs.npy", np.int64)
    groups = writer.array("train_groups.npy", np.int32)
    sizes: NDArray[np.int64] = np.array([len(b) for b in vocabulary.tokenizer.token_bytes], np.int64)
    bos = vocabulary.tokenizer.bos_id
    before: Path | None = train[writer.note.documents - 1] if writer.resumed else None
    task.advance(sum(len(shards[path]) for path in train[: writer.note.documents]))
    for path in train[writer.note.documents :]:
        shard = shards[path]
        # A document goes on from one shard into the next, but not over a gap.
        follows = before is not None and shard_number(path) == shard_number(before) + 1
        raw_bytes = 0
        for at in range(0, len(shard), _CHUNK):
            chunk = shard[at : at + _CHUNK]
            ours = _translate(chunk, vocabulary, path, at)
            ours = np.where(chunk == vocabulary.starts, bos, ours)
            ours = ours[ours != BOUNDARY]
            if at == 0 and not follows and (not len(ours) or ours[0] != bos):
                ours = np.concatenate([[bos], ours])
            begins = np.flatnonzero(ours == bos)
            with writer.explained():
                groups.append(np.arange(offsets.length, offsets.length + len(begins)))
                offsets.append(begins + tokens.length)
                tokens.append(ours)
            raw_bytes += int(sizes[ours].sum()) - (len(begins) if vocabulary.adds_space else 0)
            task.advance(len(chunk))
        writer.advance(1, raw_bytes)
        before = path
    return DataInfo(
        SCHEMA, "", vocabulary.tokenizer.vocab_size, writer.note.raw_bytes, tokens.length, offsets.length,
        0, 0, 0, "", {},
    )  # fmt: skip

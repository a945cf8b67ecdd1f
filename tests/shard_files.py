"""Small shards, a tokenizer and a folder with the hub's layout, as parameter-golf has them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import sentencepiece

from regrow.core.files import sha256_hex
from regrow.data.shards.format import write_shard

WORDS = "the quick brown fox jumps over a lazy dog and then, größer, goes home to sleep — well 1984 nights".split()


def text_of(seed: int) -> str:
    """A document of some lines' worth of words, in one line: the tokenizer below turns line ends into spaces."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 120)) + "."


def model(path: Path, texts: list[str], **settings: object) -> Path:
    """A SentencePiece model as the challenge's are: byte-pair with byte fallback, BOS 1."""
    proto = io.BytesIO()
    options = {"model_type": "bpe", "vocab_size": 360, "byte_fallback": True, "minloglevel": 2, **settings}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=proto, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.getvalue())
    return path


TEXTS = [text_of(i) for i in range(60)]


def shards(folder: Path, sp: sentencepiece.SentencePieceProcessor, texts: list[str] = TEXTS) -> Path:
    """Ten documents held out, the rest to train on in two shards, the second beginning inside a document."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [np.array([sp.bos_id(), *sp.encode(text)], np.uint16) for text in texts]
    write_shard(folder / "fineweb_val_000000.bin", np.concatenate(tokens[:10]))
    train = np.concatenate(tokens[10:])
    cut = len(train) // 2 + 3
    write_shard(folder / "fineweb_train_000000.bin", train[:cut])
    write_shard(folder / "fineweb_train_000001.bin", train[cut:])
    return folder


def hub_folder(root: Path, variant: str = "sp360") -> Path:
    """A folder with the hub's layout: shards, tokenizer, checksums."""
    path = model(root / f"datasets/tokenizers/fineweb_{variant.removeprefix('sp')}_bpe.model", TEXTS)
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    folder = shards(root / f"datasets/datasets/fineweb10B_{variant}", sp)
    files = [path, *sorted(folder.iterdir())]
    lines = [f"{sha256_hex(f.read_bytes())}  {f.relative_to(root)}\n" for f in files]
    (root / "SHA256SUMS").write_text("".join(lines))
    return root

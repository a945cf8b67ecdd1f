"""parameter-golf shards: the form, what damage is called, and what a data folder made of them holds."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from tests.shard_files import TEXTS, hub_folder, model, shards, text_of

from regrow.cli import main
from regrow.core.config.schema import DataConfig
from regrow.core.errors import DataError, TokenizerError
from regrow.core.files import sha256_hex
from regrow.core.progress import Silent
from regrow.data.build import build_dataset
from regrow.data.dataset import Dataset
from regrow.data.shards.conversion import build_from_shards, write_shards
from regrow.data.shards.foreign_tokenizer import load_foreign
from regrow.data.shards.format import read_shard, write_shard
from regrow.data.shards.hub import REPOSITORY, Mirror, fetch_fineweb


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the hub's layout: shards, tokenizer, checksums."""
    return hub_folder(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def place(hub: Path) -> Path:
    """The folder of the shards."""
    return hub / "datasets/datasets/fineweb10B_sp360"


def test_a_shard_is_what_the_challenge_reads(tmp_path: Path) -> None:
    """Header and tokens by their offsets, as the challenge's own loader reads them."""
    write_shard(tmp_path / "x_val_000000.bin", np.array([1, 513, 65535]))
    data = (tmp_path / "x_val_000000.bin").read_bytes()
    assert np.frombuffer(data[:1024], "<i4").tolist() == [20240520, 1, 3, *[0] * 253]
    assert data[1024:] == b"\x01\x00\x01\x02\xff\xff"
    assert read_shard(tmp_path / "x_val_000000.bin").tolist() == [1, 513, 65535]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (0, 7, "begins with 7, not with a shard's magic number 20240520"),
        (1, 2, "is a shard of version 2, this regrow reads 1"),
        (2, 9, r"says 9 tokens, which make 1,042 bytes, but it has 1,030 \(cut short\)"),
        (2, 2, r"says 2 tokens, .* \(too long\)"),
        (2, -1, "says -1 tokens"),
    ],
)
def test_a_damaged_header_is_named(tmp_path: Path, field: int, value: int, says: str) -> None:
    """Magic, version and length: each its own sentence with the file."""
    path = tmp_path / "x_train_000000.bin"
    write_shard(path, np.array([1, 2, 3]))
    header = np.frombuffer(path.read_bytes()[:1024], "<i4").copy()
    header[field] = value
    path.write_bytes(header.tobytes() + path.read_bytes()[1024:])
    with pytest.raises(DataError, match=rf"x_train_000000\.bin: .*{says}"):
        read_shard(path)


@pytest.mark.parametrize("size", [0, 3, 11, 700])
def test_a_file_shorter_than_a_header_is_named(tmp_path: Path, size: int) -> None:
    """However little there is."""
    (tmp_path / "x.bin").write_bytes(np.array([20240520, 1, 0] + [0] * 300, "<i4").tobytes()[:size])
    with pytest.raises(DataError, match=rf"x\.bin: {size} bytes are too few for a shard's header"):
        read_shard(tmp_path / "x.bin")


def test_tokens_keep_their_segmentation_and_lose_no_byte(hub: Path, place: Path, tmp_path: Path) -> None:
    """Each document's tokens are the shard's, under our ids; any bytes at all come back from that tokenizer."""
    data = build_from_shards([str(place)], tmp_path / "data")
    ends = [*data.doc_offsets[1:].tolist(), len(data.train_tokens)]
    assert len(data.doc_offsets) == 50
    for text, a, b in zip(TEXTS[10:], data.doc_offsets, ends, strict=True):
        tokens = data.train_tokens[a + 1 : b]
        assert data.tokenizer.decode(tokens) == b" " + text.encode()
        assert data.tokenizer.encode(b" " + text.encode()).tolist() == tokens.tolist()
    sp = sentencepiece.SentencePieceProcessor(model_file=str(next(hub.rglob("*.model"))))
    assert len(data.train_tokens) == sum(1 + len(sp.encode(text)) for text in TEXTS[10:])
    assert data.train_bytes == sum(len(text.encode()) for text in TEXTS[10:])
    for raw in (bytes(range(256)), "▁x  \n▁\tﬁ ｆ".encode(), b" a", b"\xff\xfe" * 3):
        assert data.tokenizer.decode(data.tokenizer.encode(raw)) == raw


def test_held_out_text_is_the_documents_bytes(place: Path, tmp_path: Path) -> None:
    """Decoded without the tokenizer's own space in front, joined by one newline; what is lost is said."""
    data = build_from_shards([str(place)], tmp_path / "data")
    assert data.val_bytes == "\n".join(TEXTS[:10]).encode()
    notes = json.loads((tmp_path / "data" / "data.json").read_text())["notes"]
    assert "10 documents decode to; 0 of them do not encode back" in notes[0]
    assert "nmt_nfkc" in notes[1] and "docs_selected.jsonl" in notes[1]


def test_the_challenges_own_documents_are_used_if_they_are_these(tmp_path: Path, hub: Path) -> None:
    """Text that the tokenizer normalises: with the documents near, val.txt holds their real bytes, not the decoded
    ones; documents that give other tokens are not used, and that is said."""
    texts = [f"oﬃce  of\nthe fox {i} " + text_of(i) for i in range(30)]
    path = next(hub.rglob("*.model"))
    folder = shards(tmp_path / "s", sentencepiece.SentencePieceProcessor(model_file=str(path)), texts)
    decoded = build_from_shards([str(folder)], tmp_path / "a", tokenizer=path)
    assert b"office of the fox" in decoded.val_bytes
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "docs_selected.jsonl").write_text(rows)
    true = build_from_shards([str(folder)], tmp_path / "b", tokenizer=path)
    assert true.val_bytes == "\n".join(texts[:10]).encode()
    assert true.tokenizer.decode(true.val_tokens) == true.val_bytes
    (tmp_path / "docs_selected.jsonl").write_text(rows.replace("fox 3 ", "dog 3 "))
    other = build_from_shards([str(folder)], tmp_path / "c", tokenizer=path)
    assert other.val_bytes == decoded.val_bytes
    notes = json.loads((tmp_path / "c" / "data.json").read_text())["notes"]
    assert "1 documents do not give their shard's tokens" in notes[0]


def test_tokens_that_do_not_come_back_are_counted(tmp_path: Path, hub: Path) -> None:
    """A document in an unusual segmentation is said, not hidden."""
    path = next(hub.rglob("*.model"))
    sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
    folder = shards(tmp_path / "s", sp)
    val = read_shard(folder / "fineweb_val_000000.bin").tolist()
    spelled = [sp.piece_to_id(f"<0x{byte:02X}>") for byte in b" fox"]
    write_shard(folder / "fineweb_val_000000.bin", np.array([*val, sp.bos_id(), *spelled]))
    build_from_shards([str(folder)], tmp_path / "data", tokenizer=path)
    notes = json.loads((tmp_path / "data" / "data.json").read_text())["notes"]
    assert "11 documents decode to; 1 of them do not encode back" in notes[0]


def test_shards_of_another_tokenizer_are_refused(place: Path, tmp_path: Path) -> None:
    """Beyond the vocabulary, without a beginning of documents, or decoding to what encodes otherwise."""
    small = model(tmp_path / "small.model", TEXTS, vocab_size=300)
    with pytest.raises(
        DataError, match=r"val_000000\.bin: token \d+ at place .* beyond the vocabulary of 300"
    ):
        build_from_shards([str(place)], tmp_path / "data", tokenizer=small)
    backwards = [text[::-1] for text in TEXTS]
    other = model(tmp_path / "other.model", backwards)
    with pytest.raises(DataError, match=r"documents encode back to their own tokens; .*another tokenizer"):
        build_from_shards([str(place)], tmp_path / "data", tokenizer=other)
    moved = model(tmp_path / "moved.model", TEXTS, bos_id=359, unk_id=1, eos_id=-1)
    with pytest.raises(DataError, match=r"stands for no text in this tokenizer|has no token 359"):
        build_from_shards([str(place)], tmp_path / "data", tokenizer=moved)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model_type": "unigram", "vocab_size": 300}, "is not a byte-pair model"),
        ({"byte_fallback": False, "vocab_size": 90}, "has 0 of 256 byte tokens"),
        ({"user_defined_symbols": ["<up>"]}, "user-defined symbol '<up>'"),
    ],
)
def test_models_that_lose_bytes_are_refused(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    """A model must spell every text; which one does not is said."""
    with pytest.raises(TokenizerError, match=rf"m\.model: .*{says}"):
        load_foreign(model(tmp_path / "m.model", TEXTS, **settings))


@pytest.mark.parametrize("data", [b"", b"\x0a", b"no model", bytes(100), b"\xff" * 40])
def test_what_is_no_model_is_named(tmp_path: Path, data: bytes) -> None:
    """Any other file."""
    (tmp_path / "m.model").write_bytes(data)
    with pytest.raises(TokenizerError, match=r"m\.model: is not a"):
        load_foreign(tmp_path / "m.model")


def test_shards_without_a_tokenizer_or_a_part_are_named(place: Path, tmp_path: Path) -> None:
    """What is missing, and where to put it."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    shard = folder / "fineweb_val_000000.bin"
    shard.write_bytes((place / shard.name).read_bytes())
    with pytest.raises(DataError, match=r"b: holds no train shard; put fineweb_train_000000\.bin"):
        build_from_shards([str(folder)], tmp_path / "data")
    (folder / "fineweb_train_000000.bin").write_bytes(shard.read_bytes())
    with pytest.raises(DataError, match="no tokenizer beside the shards; put their SentencePiece"):
        build_from_shards([str(folder)], tmp_path / "data")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(DataError, match="is not named as a shard is"):
        build_from_shards([str(tmp_path / "a.bin"), str(shard)], tmp_path / "data")


def test_our_own_shards_come_back(tmp_path: Path) -> None:
    """Written from a data folder and read again: the same tokens and held-out bytes."""
    (tmp_path / "t.txt").write_text("\n\x0c\n".join(TEXTS))
    data = build_dataset(str(tmp_path / "t.txt"), tmp_path / "one", DataConfig(vocab_size=300))
    write_shards(data, tmp_path / "s", shard_tokens=1000)
    again = build_from_shards([str(tmp_path / "s")], tmp_path / "two")
    for name in ("train_tokens", "doc_offsets", "val_tokens"):
        assert np.array_equal(getattr(data, name), getattr(again, name))
    assert (again.val_bytes, again.train_bytes) == (data.val_bytes, data.train_bytes)


def test_fineweb_from_a_folder_with_the_hubs_layout(hub: Path, tmp_path: Path) -> None:
    """The command as one would give it; fewer shards than there are may be asked for."""
    command = ["data", "fineweb", "--variant", "sp360", "--mirror", str(hub), "--quiet"]
    assert main([*command, "--out", str(tmp_path / "all")]) == 0
    assert main([*command, "--out", str(tmp_path / "one"), "--train-shards", "1"]) == 0
    whole, part = Dataset.load(tmp_path / "all"), Dataset.load(tmp_path / "one")
    assert whole.name == "fineweb-sp360"
    assert len(part.train_tokens) < len(whole.train_tokens)
    assert part.val_bytes == whole.val_bytes


def test_a_file_that_is_not_what_the_hub_says_is_fetched_again_and_then_refused(
    hub: Path, tmp_path: Path
) -> None:
    """A wrong checksum is never passed on."""
    told: list[str] = []

    class Hears(Silent):
        def log(self, line: str) -> None:
            told.append(line)

    mirror = Mirror(hub)
    mirror._sums["datasets/datasets/fineweb10B_sp360/fineweb_val_000000.bin"] = "0" * 64
    with pytest.raises(DataError, match=r"fineweb_val_000000\.bin: has the SHA-256 .*, fetched twice"):
        fetch_fineweb("sp360", 1, mirror, Hears())
    assert len(told) == 1 and "fetching it again" in told[0]
    with pytest.raises(DataError, match="no shards in datasets/datasets/fineweb10B_sp77"):
        fetch_fineweb("sp77", 1, mirror, Silent())


def _fake_hub(hub: Path, reachable: bool) -> types.ModuleType:
    """huggingface_hub as regrow uses it, over a local folder; the first download of each file is spoiled."""
    module = types.ModuleType("huggingface_hub")
    fetched: list[str] = []

    class HfApi:
        def list_repo_tree(self, repo: str, path: str, *, repo_type: str) -> list[types.SimpleNamespace]:
            assert (repo, repo_type) == (REPOSITORY, "dataset")
            if not reachable:
                raise ConnectionError("Name or service not known")
            return [
                types.SimpleNamespace(
                    path=f"{path}/{f.name}",
                    size=f.stat().st_size,
                    lfs=types.SimpleNamespace(sha256=sha256_hex(f.read_bytes())),
                )
                for f in (hub / path).iterdir()
            ]

    def download(repo: str, filename: str, *, repo_type: str, force_download: bool) -> str:
        fetched.append(filename)
        target = hub.parent / "cache" / filename
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = (hub / filename).read_bytes()
        target.write_bytes(whole if force_download else whole[:-2] + b"\0\0")
        return str(target)

    module.HfApi, module.hf_hub_download = HfApi, download  # type: ignore[attr-defined]
    return module


def test_the_hub_itself(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its listing gives sizes and checksums; a spoiled copy is fetched anew; without the network one sentence says
    what to download and where to put it; without the library, what to install."""
    command = ["data", "fineweb", "--variant", "sp360", "--quiet", "--out", str(tmp_path / "data")]
    monkeypatch.setitem(sys.modules, "huggingface_hub", _fake_hub(hub, reachable=True))
    assert main(command) == 0
    assert Dataset.load(tmp_path / "data").val_bytes == "\n".join(TEXTS[:10]).encode()
    monkeypatch.setitem(sys.modules, "huggingface_hub", _fake_hub(hub, reachable=False))
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "Name or service not known" in said and "--mirror FOLDER" in said and said.count("\n") == 1
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(command) == 2
    assert "pip install huggingface-hub" in capsys.readouterr().err


def test_options_of_shards_are_refused_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence each."""
    (tmp_path / "t.txt").write_text("x")
    for extra, says in (
        (["--variant", "sp1024"], "for the source fineweb"),
        (["--tokenizer", "x.model"], "names the model of shards"),
    ):
        assert main(["data", str(tmp_path / "t.txt"), *extra, "--out", str(tmp_path / "o")]) == 2
        assert says in capsys.readouterr().err


def test_what_lies_beside_shards_is_named(hub: Path, tmp_path: Path) -> None:
    """Nothing in a folder of shards is left out without a word."""
    copy = shutil.copytree(hub, tmp_path / "hub") / "datasets/datasets/fineweb10B_sp360"
    (copy / "extra.bin").write_bytes(b"12")
    (copy / "texts").mkdir()
    (copy / "texts" / "more.txt").write_bytes(b"345")
    build_from_shards([str(copy)], tmp_path / "data")
    notes = json.loads((tmp_path / "data" / "data.json").read_text())["notes"]
    assert notes[:2] == [
        "extra.bin: left out (2 bytes, not a shard)",
        "texts/more.txt: left out (3 bytes, not a shard)",
    ]


def test_shards_may_lie_where_the_name_is_not_utf8(hub: Path, tmp_path: Path) -> None:
    """The folder's name and those of the files left out stand in data.json, as far as they can be spelled."""
    name = os.fsdecode(b"caf\xe9_sp360")
    place = shutil.copytree(hub, tmp_path / "hub") / "datasets" / "datasets"
    (place / "fineweb10B_sp360").rename(place / name)
    (place / name / os.fsdecode(b"\xff.txt")).write_bytes(b"123")
    build_from_shards([str(place / name)], tmp_path / "data")
    found = json.loads((tmp_path / "data" / "data.json").read_text())
    assert found["name"] == "caf\ufffd_sp360"
    assert found["notes"][0].startswith("\ufffd.txt: left out")

"""The bytes of an artifact file are a promise: the same content gives this file in every release of format 2."""

from __future__ import annotations

from pathlib import Path

from regrow.artifact.container import read_artifact, write_artifact
from regrow.core.files import sha256_hex

PAYLOADS = {"memory": b"counts", "mixer": b"", "tokenizer": bytes(range(256)), "weights": b"rows"}
MANIFEST = {"seed": 18446744073709551615, "config": {"train": {"lr": 0.02}, "name": "é"}}
SHA256 = "385f1b3abe225716fae1bdbc2b7af4107cde080c786e42dd7238529ca2cb242c"


def test_the_same_content_gives_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "artifact.safetensors"
    size = write_artifact(path, PAYLOADS, MANIFEST)
    assert (size, sha256_hex(path.read_bytes())) == (1098, SHA256)
    assert read_artifact(path).sha256 == SHA256

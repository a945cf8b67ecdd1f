"""What someone could do to an artifact file, one attack a test. Each is refused with an ArtifactError."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrow.artifact.container import MAX_HEADER_BYTES, read_artifact, write_artifact
from regrow.core.errors import ArtifactError
from regrow.core.files import sha256_hex

PAYLOADS = {"memory": b"counts", "mixer": b"gate", "tokenizer": b"pieces", "weights": bytes(range(64))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "artifact.safetensors"
    write_artifact(target, PAYLOADS, {"seed": 3})
    return target


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header as a table, and the payload bytes."""
    data = path.read_bytes()
    stop = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:stop]), data[stop:]


def dump(table: Any) -> bytes:
    return json.dumps(table, separators=(",", ":")).encode()


def assemble(header: bytes, body: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + body


def refused(path: Path, data: bytes, reason: str = ".") -> None:
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=reason) as caught:
        read_artifact(path)
    assert str(caught.value).startswith(str(path))


def forged_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with a changed manifest whose own hash was made right again, as an attacker would."""
    table, body = parts(path)
    manifest = json.loads(table["__metadata__"]["manifest"])
    change(manifest)
    if isinstance(manifest.get("sha256"), dict):
        manifest["sha256"].pop("manifest", None)
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
        manifest["sha256"]["manifest"] = sha256_hex(text.encode())
    table["__metadata__"]["manifest"] = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return assemble(dump(table), body)


def test_the_forging_helper_forges_a_file_that_is_otherwise_right(path: Path) -> None:
    """Otherwise the attacks below could be refused for another reason than the one they are about."""
    path.write_bytes(forged_manifest(path, lambda manifest: manifest.update(seed=4)))
    assert read_artifact(path).manifest["seed"] == 4


def test_every_byte_altered(path: Path) -> None:
    """Damage in storage or transfer: wherever it strikes, the file is refused."""
    data = path.read_bytes()
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1 << position % 8
        refused(path, bytes(altered))


def test_every_truncation(path: Path) -> None:
    """An interrupted download, at any length."""
    data = path.read_bytes()
    for length in range(len(data)):
        refused(path, data[:length])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_fuzzed_splices(path: Path, data: st.DataObject) -> None:
    """Pieces cut out, overwritten or put in anywhere; only the file itself passes."""
    write_artifact(path, PAYLOADS, {"seed": 3})
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 12)))
    altered = good[:start] + data.draw(st.binary(max_size=12)) + good[stop:]
    path.write_bytes(altered)
    if altered == good:
        read_artifact(path)
        return
    with pytest.raises(ArtifactError):
        read_artifact(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, MAX_HEADER_BYTES + 1])
def test_memory_bomb_in_the_length_of_the_header(path: Path, length: int) -> None:
    """A reader that allocates what the first eight bytes say would ask for exabytes."""
    tracemalloc.start()
    refused(path, length.to_bytes(8, "little") + path.read_bytes()[8:], "above 1,048,576")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_memory_bomb_in_the_length_of_a_payload(path: Path) -> None:
    """The table promises terabytes which the file does not have."""
    table, body = parts(path)
    table["weights"] = {"dtype": "U8", "shape": [1 << 44], "data_offsets": [16, 16 + (1 << 44)]}
    refused(path, assemble(dump(table), body), "larger than the whole file")


def test_a_large_header_that_is_there(path: Path) -> None:
    """A header of many megabytes, to keep the JSON parser busy."""
    refused(path, assemble(b"{" + b" " * (8 << 20) + b"}", b""), "above 1,048,576")


def test_nesting_bomb(path: Path) -> None:
    """Brackets nested so deep that a recursive parser overruns its stack."""
    table, body = parts(path)
    refused(path, assemble(b'{"a":' + b"[" * 500_000, b""), "not a regrow artifact")
    manifest = table["__metadata__"]["manifest"]
    for depth in range(
        900, 1100
    ):  # around the interpreter's own limit, where reading and writing back may differ
        nested = "[" * depth + "]" * depth
        table["__metadata__"]["manifest"] = manifest.replace('"seed":3', f'"seed":{nested}')
        refused(path, assemble(dump(table), body))


def test_number_bomb(path: Path) -> None:
    """Numbers of a million digits take a naive parser quadratic time; infinities and NaN are no JSON."""
    table, body = parts(path)
    raw = dump(table)
    manifest = table["__metadata__"]["manifest"]
    for number in ("9" * 500_000, "1e999", "NaN", "-Infinity"):
        table["__metadata__"]["manifest"] = manifest.replace('"seed":3', f'"seed":{number}')
        refused(path, assemble(dump(table), body), "not a regrow artifact|one form")
    for size in ("9" * 4200, "1e3", "-1", "true", "null"):
        forged = raw.replace(b'"shape":[4]', f'"shape":[{size}]'.encode())
        assert forged != raw
        refused(path, assemble(forged, body))


def test_duplicate_keys(path: Path) -> None:
    """Two tensors of one name: one parser takes the first, another the last: reviewed is not what runs."""
    table, body = parts(path)
    raw = dump(table)
    twice = raw[:-1] + b',"weights":' + dump(table["weights"]) + b"}"
    refused(path, assemble(twice, body), "one form")
    hidden = raw.replace(b'{"__metadata__"', b'{"__metadata__":{"manifest":"evil"},"__metadata__"')
    refused(path, assemble(hidden, body), "one form")


def test_duplicate_keys_inside_the_manifest(path: Path) -> None:
    """The same trick one level deeper."""
    table, body = parts(path)
    manifest = table["__metadata__"]["manifest"]
    table["__metadata__"]["manifest"] = manifest.replace('"seed":3', '"seed":4,"seed":3')
    refused(path, assemble(dump(table), body), "one form")


def test_bytes_hidden_in_white_space_or_padding(path: Path) -> None:
    """Free space in a header is free storage: bytes that the ledger would not count as what they are."""
    table, body = parts(path)
    refused(path, assemble(json.dumps(table).encode(), body), "one form")
    refused(path, assemble(dump(table) + b" " * 64, body), "one form")
    refused(path, assemble(dump(table) + b"\t" * 8, body), "one form")
    table["__metadata__"]["manifest"] += "   "
    refused(path, assemble(dump(table), body), "one form")


def test_bytes_hidden_after_the_payloads(path: Path) -> None:
    """A file that is an artifact and a zip archive too: archives are read from their end."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("code.py", "print('boo')")
    refused(path, path.read_bytes() + archive.getvalue(), "header accounts for")


def test_bytes_hidden_between_payloads(path: Path) -> None:
    """Offsets that leave a hole."""
    table, body = parts(path)
    table["weights"]["data_offsets"] = [offset + 8 for offset in table["weights"]["data_offsets"]]
    hidden = body[: -len(PAYLOADS["weights"])] + b"8 hidden" + PAYLOADS["weights"]
    refused(path, assemble(dump(table), hidden), "one form")


def test_payloads_that_overlap(path: Path) -> None:
    """Two tensors over the same bytes: fewer bytes in the file than the parts add up to."""
    table, body = parts(path)
    table["mixer"]["data_offsets"] = [0, 4]
    refused(path, assemble(dump(table), body), "one form")


def test_a_tensor_too_many_or_too_few(path: Path) -> None:
    """A fifth tensor would be weight that no ledger has an owner for."""
    table, body = parts(path)
    more = {**table, "extra": {"dtype": "U8", "shape": [0], "data_offsets": [len(body), len(body)]}}
    refused(path, assemble(dump(more), body), "has an unknown 'extra'")
    del table["mixer"]
    refused(path, assemble(dump(table), body), "lacks 'mixer'")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("dtype", "F32", "dtype U8"),
        ("dtype", None, "dtype U8"),
        ("shape", [2, 2], "one dimension"),
        ("shape", 4, "one dim"),
    ],
)
def test_a_tensor_of_another_type_or_shape(path: Path, key: str, value: Any, reason: str) -> None:
    """The same bytes read as another type."""
    table, body = parts(path)
    table["mixer"][key] = value
    refused(path, assemble(dump(table), body), reason)


def test_a_tensor_that_is_no_object(path: Path) -> None:
    """A string where the table has an object."""
    table, body = parts(path)
    table["mixer"] = "U8"
    refused(path, assemble(dump(table), body), "dtype U8")


def test_more_metadata(path: Path) -> None:
    """A second key would be storage besides the manifest, and safetensors writes several in random order."""
    table, body = parts(path)
    table["__metadata__"]["note"] = "x"
    refused(path, assemble(dump(table), body), r"metadata besides the manifest \(note\)")


def test_no_manifest(path: Path) -> None:
    """Any other safetensors file, for instance a model from a hub."""
    table, body = parts(path)
    for metadata in ({}, {"format": "pt"}, {"manifest": 3}, "manifest", None):
        refused(path, assemble(dump({**table, "__metadata__": metadata}), body), "not a regrow artifact")
    del table["__metadata__"]
    refused(path, assemble(dump(table), body), "not a regrow artifact")


def test_a_manifest_that_is_no_object(path: Path) -> None:
    """JSON, but not a manifest."""
    table, body = parts(path)
    for text in ("[]", "3", '"x"', "", "{", "\ud800"):
        table["__metadata__"]["manifest"] = text
        refused(path, assemble(dump(table), body), "not a regrow artifact")


@pytest.mark.parametrize("value", ["gguf", None, 1])
def test_another_format(path: Path, value: Any) -> None:
    """A file of another program that happens to have a manifest."""
    refused(
        path, forged_manifest(path, lambda manifest: manifest.update(format=value)), "not a regrow artifact"
    )


@pytest.mark.parametrize("value", [0, -1, 3, "1", 1.0, True, None])
def test_another_format_version(path: Path, value: Any) -> None:
    """A later release's file must be named as such before anything else in it is judged."""
    data = forged_manifest(path, lambda manifest: manifest.update(format_version=value, sha256={}))
    refused(path, data, "has format version .* reads up to version 2")


@pytest.mark.parametrize("digests", [None, [], {}, {"weights": 3}, "0" * 64])
def test_no_hashes(path: Path, digests: Any) -> None:
    """Without hashes there would be nothing to check, so their absence is refused and not skipped."""
    data = forged_manifest(path, lambda manifest: manifest.update(sha256=digests))
    refused(path, data, "does not hold the SHA-256|does not match its SHA-256")


def test_a_payload_of_another_artifact(path: Path, tmp_path: Path) -> None:
    """Someone else's weights of the same length under this file's manifest."""
    data = path.read_bytes()
    refused(path, data[:-64] + bytes(64), "its weights does not match")


def test_a_changed_setting_in_the_manifest(path: Path) -> None:
    """The seed or the config changed, every payload untouched: the manifest is covered by a hash as well."""
    table, body = parts(path)
    manifest = table["__metadata__"]["manifest"]
    table["__metadata__"]["manifest"] = manifest.replace('"seed":3', '"seed":4')
    refused(path, assemble(dump(table), body), "its manifest does not match")


def test_code_in_disguise(path: Path) -> None:
    """A pickle, a zip archive and a script under an artifact's name are never opened as what they are."""

    class Boo:
        def __reduce__(self) -> tuple[Any, ...]:
            return (path.with_name("owned").touch, ())

    for data in (pickle.dumps(Boo()), b"PK\x03\x04" + bytes(64), b"#!/bin/sh\necho boo\n", b"", b"\0" * 64):
        refused(path, data)
    assert not path.with_name("owned").exists()


def test_a_header_in_another_encoding(path: Path) -> None:
    """UTF-16 and a byte-order mark: JSON readers guess encodings, and the same text then has two forms."""
    table, body = parts(path)
    text = dump(table).decode()
    refused(path, assemble(text.encode("utf-16"), body))
    refused(path, assemble(text.encode("utf-8-sig"), body))
    refused(path, assemble(b"\xff\xfe\xff" + text.encode(), body), "not a regrow artifact")

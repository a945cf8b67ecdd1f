"""`regrow records` as a user runs it: lines, fields, pipes, single records, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import run_json, run_regrow

LINES = [b'{"user":%d,"page":"/cart","ok":true}' % n for n in range(150)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in LINES) + b"\n\r\nthe last, \xff without a newline")
    return path


def test_lines_come_back_all_or_some(small_artifact: Path, log: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "log.records", tmp_path / "back"
    told = run_json("records", "compress", small_artifact, log, "-o", out)
    assert told == {
        "out": str(out),
        "records": 153,
        "raw_bytes": log.stat().st_size - 152,
        "bytes": out.stat().st_size,
    }
    told = run_json("records", "decompress", small_artifact, out, "-o", back)
    assert (told["records"], told["raw_bytes"]) == (153, log.stat().st_size)
    assert back.read_bytes() == log.read_bytes()
    done = run_regrow(
        "records", "decompress", small_artifact, out, "-o", back, "-f", "--record", 150, "--record", 1
    )
    assert done.returncode == 0 and back.read_bytes() == LINES[149] + b"\n" + LINES[0] + b"\n"
    done = run_regrow("records", "decompress", small_artifact, out, "-o", back, "-f", "--record", 154)
    assert done.returncode == 2 and "has no record 154; it has 153" in done.stderr
    assert run_json("inspect", out)["records"] == 153
    done = run_regrow("decompress", small_artifact, out, "-o", tmp_path / "other")
    assert (
        done.returncode == 2 and "is a file of records; give it to regrow records decompress" in done.stderr
    )


def test_a_damaged_record_is_named(small_artifact: Path, log: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "log.records", tmp_path / "back"
    run_json("records", "compress", small_artifact, log, "-o", out, "--checksum", 4)
    assert run_json("inspect", out)["checksum_bytes"] == 4
    run_json("records", "decompress", small_artifact, out, "-o", back)
    assert back.read_bytes() == log.read_bytes()
    broken = bytearray(out.read_bytes())
    broken[-20] ^= 1  # in the last record, before the end's ten bytes and its own checksum
    out.write_bytes(broken)
    done = run_regrow("records", "decompress", small_artifact, out, "-o", back, "-f")
    assert done.returncode == 2 and "record 153: is damaged" in done.stderr
    run_json("records", "decompress", small_artifact, out, "-o", back, "-f", "--record", 152)
    assert back.read_bytes() == b"\r\n"


def test_pipes_go_through(small_artifact: Path, log: Path) -> None:
    def piped(command: str, given: bytes) -> bytes:
        whole = [
            sys.executable,
            "-m",
            "regrow",
            "records",
            command,
            small_artifact,
            "-",
            "-o",
            "-",
            "--quiet",
        ]
        return subprocess.run(whole, input=given, capture_output=True, check=True).stdout

    for given in (log.read_bytes(), b""):
        assert piped("decompress", piped("compress", given)) == given


def test_fields_come_back_as_json_lines(small_artifact: Path, tmp_path: Path) -> None:
    texts = ["two\nlines", "", "né\ud800", "the union"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": i, "body": text}) + "\n" for i, text in enumerate(texts)))
    out, back = tmp_path / "out", tmp_path / "back"
    run_json("records", "compress", small_artifact, rows, "--text-field", "body", "-o", out)
    run_json("records", "decompress", small_artifact, out, "-o", back)
    assert [json.loads(line) for line in back.read_text().splitlines()] == [{"body": text} for text in texts]


def test_a_parquet_column_comes_back(small_artifact: Path, tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table, out, back = tmp_path / "table.parquet", tmp_path / "out", tmp_path / "back"
    parquet.write_table(pyarrow.table({"text": ["a", None, "the union"], "raw": [b"\xff", b"", b""]}), table)
    assert run_json("records", "compress", small_artifact, table, "-o", out)["records"] == 3
    run_json("records", "decompress", small_artifact, out, "-o", back)
    assert [json.loads(line)["text"] for line in back.read_text().splitlines()] == ["a", "", "the union"]
    done = run_regrow("records", "compress", small_artifact, table, "-o", out, "-f", "--text-field", "raw")
    assert done.returncode == 2 and "row 1 of raw is not UTF-8 text" in done.stderr


def test_nothing_is_overwritten_or_left_half_written(small_artifact: Path, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"mine")
    for arguments, says in (
        ((log, "-o", out), "is there already; give -f"),
        ((log, "-o", log, "-f"), "is what the command reads"),
        ((log, "-o", small_artifact, "-f"), "is what the command reads"),
        ((tmp_path / "none", "-o", tmp_path / "new"), "cannot be read"),
        ((log, "-o", tmp_path / "new", "--text-field", "body"), "line 1 has no field body"),
    ):
        done = run_regrow("records", "compress", small_artifact, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1) and says in done.stderr
    assert out.read_bytes() == b"mine" and not (tmp_path / "new").exists()
    done = run_regrow("records", "decompress", small_artifact, log, "-o", tmp_path / "new")
    assert done.returncode == 2 and "is JSON, not a file of records" in done.stderr
    done = run_regrow("records", "compress", small_artifact, log, "-o", "-", "--json")
    assert done.returncode == 2 and "--json: prints on standard output" in done.stderr
    link = tmp_path / "link"
    link.symlink_to(out)
    assert run_regrow("records", "compress", small_artifact, log, "-o", link, "-f").returncode == 0
    assert link.is_symlink() and out.read_bytes()[:3] == b"\xaaRG"

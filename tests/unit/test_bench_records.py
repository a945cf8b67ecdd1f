"""The bench of records: its log is the same everywhere, every codec is there, and a user's own text takes part."""

from __future__ import annotations

import hashlib
import json

import pytest

from benchmarks.json_logs import json_log
from benchmarks.records import SIZES, measure, summary
from regrow.core.errors import ConfigError
from regrow.core.progress import Silent


def test_the_log_is_the_same_everywhere_and_is_json() -> None:
    lines = json_log(500)
    assert hashlib.sha256(b"\n".join(lines)).hexdigest().startswith("74eba157d4c5afa1")
    assert json_log(500, seed=2) != lines
    assert {json.loads(line)["service"] for line in lines} == {"web", "worker", "db"}


def test_records_are_smaller_than_zstd_with_a_dictionary_and_less_than_two_bytes_beyond_their_bits() -> None:
    pytest.importorskip("zstandard")
    found = measure(None, None, SIZES["quick"], Silent())
    (text,) = found["texts"]
    ours, plain, trained, _ = text["rows"]
    assert (text["name"], text["records"], found["size"]) == ("JSON log", 100, "quick")
    assert 5 * ours["bytes"] < trained["bytes"] < plain["bytes"] / 3
    assert ours["bits"] / 8 < ours["bytes"] < ours["file_bytes"] < ours["bits"] / 8 + 2 * 100
    assert set(summary(found)["JSON log"]) == {row["codec"] for row in text["rows"]}


def test_a_text_alone_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="records:text: is of a text of yours; give --train"):
        measure(None, None, SIZES["text"], Silent())

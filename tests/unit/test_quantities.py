"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from regrow.core.errors import ConfigError
from regrow.core.quantities import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4MB", 4_000_000), ("500kB", 500_000), ("500 KB", 500_000), ("16,000,000", 16_000_000), ("1.5m", 1_500_000),
        ("2MiB", 2 << 20), (" 7 b ", 7), ("1_000", 1000), (".5k", 500), ("9007199254740993", 9007199254740993),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text, "--budget") == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 600), ("10m", 600), ("90s", 90), ("1.5h", 5400), ("2 min", 120), (".5", 30)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--minutes", unit="m") == seconds


@pytest.mark.parametrize(
    "text", ["", "MB", "4 apples", "-4MB", "4MB5", "1e6", "nan", "inf", "4mbit", "0", "0kB", ".1b"]
)
def test_what_is_no_size_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--budget .*4MB or 500kB"):
        parse_bytes(text, "--budget")


@pytest.mark.parametrize("text", ["", "soon", "10 MB", "-1m", "0", "0s"])
def test_what_is_no_time_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--minutes .*10m or 90s"):
        parse_seconds(text, "--minutes", unit="m")

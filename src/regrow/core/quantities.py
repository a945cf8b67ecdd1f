"""Sizes and times as people write them: 4MB, 500 kB, 2.5MiB, 90s, 10m, 1.5h."""

from __future__ import annotations

import re

from regrow.core.errors import ConfigError

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_BYTES |= {"k": 10**3, "m": 10**6, "g": 10**9}
_SECONDS = {
    "s": 1, "sec": 1, "m": 60, "min": 60, "minutes": 60, "h": 3600, "seconds": 1, "hours": 3600,
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(\d[\d_,]*(?:\.\d+)?|\.\d+)\s*([a-zA-Z]*)\s*")


def parse_bytes(text: str, name: str) -> int:
    """Decimal bytes of `4MB`, `500kB`, `16,000,000` or `3.5MiB`. Raises ConfigError, naming the option, for anything
    else, and for less than a byte."""
    value = int(_parse(text, name, _BYTES, "", "4MB or 500kB"))
    if value < 1:
        raise ConfigError(f"{name} {text}: is less than one byte; write a size such as 4MB or 500kB.")
    return value


def parse_seconds(text: str, name: str, *, unit: str) -> float:
    """Seconds of `90s`, `10m` or `1.5h`; a bare number is in `unit`. Raises ConfigError, naming the option, for
    anything else, and for no time at all."""
    value = _parse(text, name, _SECONDS, unit, "10m or 90s")
    if value <= 0:
        raise ConfigError(f"{name} {text}: is no time; write one such as 10m or 90s.")
    return value


def _parse(text: str, name: str, units: dict[str, int], bare: str, such_as: str) -> float:
    found = _QUANTITY.fullmatch(text)
    unit = units.get((found[2] or bare).lower()) if found else None
    if found is None or unit is None:
        raise ConfigError(f"{name} {text}: cannot be read; write it as {such_as}.")
    number = found[1].replace(",", "").replace("_", "")
    # A whole number stays exact, however large it is.
    return (int(number) if number.isdecimal() else float(number)) * unit

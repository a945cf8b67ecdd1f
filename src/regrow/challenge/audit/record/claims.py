"""What a submission says of itself: submission.json and the README, their numbers, and how finely they are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow.challenge.audit.record.possible import without_thousands

_HEADLINE_KEYS = (
    "val_bpb", "mean_val_bpb", "val_bpb_mean", "final_val_bpb", "bpb", "val_bpb_exact", "bits_per_byte",
)  # fmt: skip
_SEED_KEYS = ("seed_results", "per_seed_results", "seeds", "val_bpb_seeds", "per_seed", "runs", "val_bpb")
_SIZE_KEYS = ("bytes_total", "artifact_bytes_max", "artifact_bytes", "artifact_size_bytes")
_BPB_IN_TEXT = re.compile(
    r"(?:val[_ ]?)?bpb\W{0,12}?(\d\.\d{3,10})|(?<!\W[-−])(?<![\d.])(\d\.\d{3,10})\W{0,4}(?:val[_ ])?bpb",
    re.IGNORECASE,
)
_STRING_NUMBER = re.compile(r"\s*~?\s*(\d+(?:\.\d+)?)(?!\d|[.,]\d)")  # "1.2 bpb", not "1,2" or "1.2.3"


class Written(float):
    """A number of submission.json that knows the digits behind its point."""

    digits: int


def _written(text: str) -> Written:
    value = Written(text)
    value.digits = _digits(text)
    return value


def _digits(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent[:6] or 0))


@dataclass
class Claims:
    """A text of claims.

    Attributes:
        path: the file, or None where there is none.
        text: its text.
        values: submission.json as parsed; {} for a README, and where it is broken.
        error: why submission.json cannot be read, or "".
    """

    path: Path | None = None
    text: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def line(self, needle: str) -> tuple[int | None, str]:
        """Line number and text of the first line that holds `needle`."""
        for count, line in enumerate(self.text.splitlines(), start=1):
            if needle in line:
                return count, line.strip()[:300]
        return None, ""

    def lines(self) -> Iterator[tuple[int, str]]:
        """Every line with its number."""
        return enumerate(self.text.splitlines(), start=1)


def parse_claims(path: Path, text: str) -> Claims:
    """Read submission.json, whatever it holds."""
    claims = Claims(path, text)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object, in which each name stands once: readers differ in which of two they take."""
        values = dict(pairs)
        for name, value in pairs:
            if repr(values[name]) != repr(value):
                claims.error = f'"{name[:60]}" stands there twice, with different values'
        return values

    try:
        parsed = json.loads(
            text,
            parse_float=_written,
            parse_int=lambda n: int(n) if len(n) < 300 else float(n),
            object_pairs_hook=once,
        )
    except (ValueError, RecursionError) as error:
        claims.error = f"it does not parse as JSON: {str(error)[:120]}"
        return claims
    if isinstance(parsed, dict):
        claims.values = parsed
    else:
        claims.error = f"it holds a {type(parsed).__name__}, not an object"
    return claims


def number(value: object) -> float | None:
    """`value` as a finite float, where it is a number or a string that begins with one; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _STRING_NUMBER.match(without_thousands(value))
        value = float(match[1]) if match and len(match[1]) < 40 else None
    if isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value):
        return float(value)
    return None


@dataclass(frozen=True)
class HeadlineClaim:
    """The bits per byte a submission claims: the value, half a unit of its last digit, and where it stands."""

    bpb: float
    tolerance: float
    loss: float | None
    path: Path | None
    line: int | None
    evidence: str


def tolerance(value: float, digits: int) -> float:
    """Half a unit of the last of `digits` digits, and a hair more; two digits at least, or any figure would do."""
    return max(0.51 * 10.0 ** -max(2, digits), 1e-9 * value)


def headline(claims: Claims, readme: Claims) -> HeadlineClaim | None:
    """The headline: submission.json's, else the first figure in the README; None where there is neither."""
    named = [k for k in _HEADLINE_KEYS if k in claims.values]
    named += [k for k in claims.values if "bpb" in k and "mean" in k and k not in named]
    for key in named:
        value = claims.values[key]
        if isinstance(value, dict):
            value = value.get("mean")
        bpb = number(value)
        if bpb is None or not 0 < bpb < 100:
            continue
        line, text = claims.line(f'"{key}"')
        loss = number(claims.values.get(key.replace("bpb", "loss"))) if "bpb" in key else None
        match = _STRING_NUMBER.match(value) if isinstance(value, str) else None
        digits = value.digits if isinstance(value, Written) else _digits(match[1]) if match else 0
        return HeadlineClaim(bpb, tolerance(bpb, digits), loss, claims.path, line, text)
    for count, row in readme.lines():
        if match := _BPB_IN_TEXT.search(row):
            text = match[1] or match[2]
            slack = tolerance(float(text), _digits(text))
            return HeadlineClaim(float(text), slack, None, readme.path, count, row.strip()[:300])
    return None


def claimed_size(claims: Claims) -> tuple[int, int | None, str] | None:
    """Bytes of code and model that submission.json states, with their line."""
    for key in _SIZE_KEYS:
        value = number(claims.values.get(key))
        if value is not None and value > 10_000:
            return int(value), *claims.line(f'"{key}"')
    return None


def claimed_seeds(claims: Claims, lead: HeadlineClaim | None) -> dict[int, float]:
    """Each seed's claimed bits per byte, as submission.json lists them under one of the usual names."""
    results = claims.values.get("results")
    for place in (claims.values, results if isinstance(results, dict) else {}):
        for key in _SEED_KEYS:
            if found := _by_seed(place.get(key), lead.bpb if lead else None):
                return found
    return _by_seed({k: v for k, v in claims.values.items() if re.fullmatch(r"(seed_?)?\d+", k)}, None)


def _by_seed(value: object, near: float | None) -> dict[int, float]:
    rows: list[tuple[object, object]] = []
    if isinstance(value, dict):
        rows = list(value.items())
    elif isinstance(value, list):
        rows = [(row.get("seed"), row) for row in value if isinstance(row, dict)]
    found: dict[int, float] = {}
    for name, row in rows:
        digits = re.search(r"\d{1,12}", str(name))
        bpb = _figure(row, near) if isinstance(row, dict) else number(row)
        if digits is not None and bpb is not None and 0 < bpb < 100:
            found[int(digits[0])] = bpb
    return found


def _figure(row: dict[str, Any], near: float | None) -> float | None:
    """The figure of one seed's row: the one named plainly, else the one nearest to the headline."""
    figures = {
        k: v
        for k, raw in row.items()
        if "bpb" in k and "gain" not in k and "delta" not in k and (v := number(raw)) is not None
    }
    for key in ("val_bpb", "bpb", "val_bpb_exact"):
        if key in figures:
            return figures[key]
    return min(figures.values(), key=lambda v: abs(v - near) if near is not None else v, default=None)

"""`result.json`: what a run was and what it measured, in a schema that scripts may rely on.

Keys may be added, none is renamed. What was not run is null. A key that this version does not know is kept by
`update`. Files are replaced atomically.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from regrow.core.errors import DataError
from regrow.core.files import atomic_write_bytes

SCHEMA = 1


class DataFigures(Struct):
    """The text a run saw; bytes are counted before tokenising."""

    name: str
    train_bytes: int
    train_tokens: int
    val_bytes: int
    val_tokens: int
    val_sha256: str


class Bpb(Struct):
    """Bits per byte of the held-out text, by predictor."""

    neural: float | None = None
    neural_unquantized: float | None = None
    memory: float | None = None
    blended: float | None = None
    ttt: float | None = None
    official_bytes: float | None = None


class Proof(Struct):
    """A round trip of the held-out text through the codec; `bpb` is 8 * stream_bytes / raw_bytes."""

    bpb: float
    stream_bytes: int
    raw_bytes: int
    sha256_match: bool
    max_abs_row_sum_error: float
    encode_seconds: float
    decode_seconds: float
    track: Literal["fixed", "adaptive"] = "fixed"
    processes: int = 1  # how many proved a piece each, with their share of the streams
    portable: bool = True  # False: rows were floats, so that this machine alone decodes the stream


class Seconds(Struct):
    """Wall-clock seconds, by part of the run."""

    total: float | None = None
    train: float | None = None
    memory_count: float | None = None
    memory_score: float | None = None  # part of train
    pack: float | None = None
    load: float | None = None
    eval: float | None = None
    ttt: float | None = None  # scoring by the predictor that adapts
    memory_merge: float | None = None  # part of memory_count: counts of several processes made one
    communication: float | None = None  # part of train: sending to other processes and waiting for them
    data: float | None = None  # reading and tokenising
    warm_up: float | None = None  # first steps, compilation in them, before the clock of `train` runs
    score: float | None = None  # of the network before it is quantised


class Result(Struct, kw_only=True):
    """The whole file. `bytes` holds `total`, `budget` and one entry a component; the components sum to the total."""

    schema: int = SCHEMA
    preset: str
    seed: int
    device: str
    threads: int
    world_size: int
    torch: str
    data: DataFigures
    bytes: dict[str, int] | None = None
    bpb: Bpb = msgspec.field(default_factory=Bpb)
    proof: Proof | None = None  # by the fixed predictor
    proof_adaptive: Proof | None = None  # by the one that adapts
    seconds: Seconds = msgspec.field(default_factory=Seconds)
    steps: int
    train_tokens_seen: int
    tokens_per_second: float | None = None
    # with pack.keep = "best": mixture, memory or network, and held-out bits per byte of each when it was chosen
    kept: str | None = None
    candidates: dict[str, float] | None = None
    made: dict[str, str] | None = (
        None  # date, command, cpu, python, regrow, commit: see `regrow.core.provenance`
    )
    baselines: dict[str, float] | None = None  # bits per byte of the same text with other compressors
    run: str | None = None  # an id that the run's config and log carry too

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read `path`. Raises DataError if it is missing, damaged, or of another schema."""
        return _convert(_read(path), path)

    def save(self, path: Path) -> None:
        """Replace `path`. Raises ValueError if the bytes' components do not sum to their total, DataError for a figure
        that is no finite number, which JSON does not have."""
        _write(path, msgspec.to_builtins(self), self)

    @classmethod
    def update(cls, path: Path, changes: Mapping[str, Any]) -> Result:
        """Merge `changes` (nested like the file) into `path`, keep all else, and return the new whole.

        `Result.update(path, {"bpb": {"blended": 1.2}})` leaves the other predictors' figures as they are; a
        struct of this module may stand for a mapping. `bytes` is replaced whole, and None
        replaces nothing: what was not run now may have been run before. Raises DataError as `load` does.
        """
        table = _read(path)
        _merge(table, msgspec.to_builtins(changes))
        result = _convert(table, path)
        _write(path, table, result)
        return result


def components(parts: Mapping[str, int]) -> dict[str, int]:
    """The components among the entries of `Result.bytes`: all but `total` and `budget`."""
    return {component: n for component, n in parts.items() if component not in ("total", "budget")}


def _read(path: Path) -> dict[str, Any]:
    try:
        table = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()}).") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is not JSON ({error}); make it again with regrow train.") from error
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        found = table.get("schema") if isinstance(table, dict) else None
        raise DataError(
            f"{path}: schema is {found!r}, this regrow reads {SCHEMA}; use the regrow that wrote it."
        )
    return table


def _convert(table: dict[str, Any], path: Path) -> Result:
    try:
        result = msgspec.convert(table, Result)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: is not a result ({error}); make it again with regrow train.") from error
    if result.bytes is not None and "total" not in result.bytes:
        raise DataError(
            f"{path}: is not a result (its bytes have no total); make it again with regrow train."
        )
    return result


def _write(path: Path, table: dict[str, Any], result: Result) -> None:
    if result.bytes is not None and sum(components(result.bytes).values()) != result.bytes["total"]:
        raise ValueError(f"{path}: the components of the bytes do not sum to their total: {result.bytes}")
    for key, value in _leaves(table):
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{path}: {key} would be {value}, so the file stays as it was; measure again.")
    encoded = msgspec.json.format(msgspec.json.encode(table), indent=2)
    atomic_write_bytes(path, encoded + b"\n")


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _merge(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        inner = table.get(key)
        # The bytes are replaced whole: a component of the old artifact must not linger in the new one.
        if isinstance(value, dict) and isinstance(inner, dict) and key != "bytes":
            _merge(inner, value)
        elif value is not None:
            table[key] = value

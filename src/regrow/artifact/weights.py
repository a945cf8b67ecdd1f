"""The weights payload as integers, without torch: what the network's stored parameters are, exactly.

A matrix is int8 entries with a float16 step per row, a vector float16 values; a float16 is a whole number of 2^-24.
docs/format.md is the specification of the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.int_coder import decode_ints
from regrow.core.config.schema import ModelConfig
from regrow.core.errors import ArtifactError
from regrow.network.shapes import is_matrix, parameter_shapes

STEP_BITS = 24  # a float16 is a whole number of 2^-STEP_BITS


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """A parameter: `q` times `step` times 2^-24. `q` int64 of the parameter's shape; `step_R` int64, one per row (ones
    where the parameter was stored as a vector)."""

    q: NDArray[np.int64]
    step_R: NDArray[np.int64]


def read_weights(
    payload: bytes, config: ModelConfig, vocab_size: int, source: str
) -> dict[str, StoredWeight]:
    """Every stored parameter by name. Raises ArtifactError, naming the parameter, for a payload that does not fit the
    config or holds a number that is not finite."""
    weights = {}
    for name, shape, record in _records(payload, config, vocab_size, source):
        weight = (
            _matrix(record, shape, f"{source}: weight {name}") if is_matrix(shape) else _vector(record, shape)
        )
        if weight is None:
            raise ArtifactError(
                f"{source}: weight {name} does not have the shape {shape}, or is not finite; train again with a lower "
                "learning rate, or copy the whole file again."
            )
        weights[name] = weight
    return weights


def weight_bytes(payload: bytes, config: ModelConfig, vocab_size: int, source: str) -> dict[str, int]:
    """Bytes of the weights payload by component: adapters, embeddings, matrices, vectors.

    Raises ArtifactError for a payload of another number of parameters."""
    sizes = {"adapters": 0, "embeddings": 0, "matrices": 0, "vectors": 0}
    for name, shape, record in _records(payload, config, vocab_size, source):
        if not is_matrix(shape):
            component = "vectors"
        elif "lora" in name:
            component = "adapters"
        else:
            component = "embeddings" if "embedding" in name else "matrices"
        sizes[component] += 4 + len(record)
    return sizes


def split_records(payload: bytes, source: str) -> list[bytes]:
    """The payload's records, each led by its length in four bytes. Raises ArtifactError where it is cut short."""
    records, at = [], 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "little")
        if at + 4 + size > len(payload):
            raise ArtifactError(f"{source}: the weights are cut short; copy the file again.")
        records.append(payload[at + 4 : at + 4 + size])
        at += 4 + size
    return records


def _records(
    payload: bytes, config: ModelConfig, vocab_size: int, source: str
) -> list[tuple[str, tuple[int, ...], bytes]]:
    records, shapes = split_records(payload, source), parameter_shapes(config, vocab_size)
    if len(records) != len(shapes):
        raise ArtifactError(
            f"{source}: {len(records)} weights for a network of {len(shapes)}; pack the run again."
        )
    return [(name, shape, record) for (name, shape), record in zip(shapes.items(), records, strict=True)]


def _matrix(record: bytes, shape: tuple[int, ...], name: str) -> StoredWeight | None:
    steps = _steps(record[: 2 * shape[0]])
    if steps is None or len(steps) != shape[0]:
        return None
    q = decode_ints(record[2 * shape[0] :], name=name)
    return StoredWeight(q.astype(np.int64), steps) if q.shape == shape and q.dtype == np.int8 else None


def _vector(record: bytes, shape: tuple[int, ...]) -> StoredWeight | None:
    values = _steps(record)
    if values is None or values.size != int(np.prod(shape)):
        return None
    return StoredWeight(values.reshape(shape), np.ones(shape[0], np.int64))


def _steps(record: bytes) -> NDArray[np.int64] | None:
    """Float16 values as whole numbers of 2^-24; None unless all are finite."""
    if len(record) % 2:
        return None
    values = np.frombuffer(record, "<f2").astype(np.float64)
    return (values * (1 << STEP_BITS)).astype(np.int64) if np.isfinite(values).all() else None

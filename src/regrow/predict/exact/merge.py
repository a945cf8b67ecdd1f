"""The network's matrices as exact inference multiplies by them: int8 rows, each with an integer multiplier.

Base and adapter are merged in integers (units of 2^-32) and rounded to int8 by row; stored matrices keep the int8 they
have. A row's step becomes a multiplier of at most 15 bits under one exponent per matrix. docs/exact.md, "Weights".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.weights import STEP_BITS, StoredWeight
from regrow.core.config.schema import ModelConfig
from regrow.core.errors import ArtifactError
from regrow.network.hadamard import block_and_rounds, derive_seed, integer_base
from regrow.network.shapes import is_seeded, matrix_shapes

UNIT_BITS = 32  # a merged entry or a row's step is a whole number of 2^-UNIT_BITS
LEVELS = 127
MULTIPLIER_LIMIT = (1 << 15) - 1
LEAST_EXPONENT = 12  # steps of 8 and more, entries above 1,000, are no trained network's
_LIMIT = 1 << 62
_EXACT_FLOAT = 1 << 53


@dataclass(frozen=True, eq=False)
class Matrix:
    """Entry [o, i] is q[o, i] * multiplier[o] * 2^-exponent: `q_OI` int8 within +-127, `multiplier_O` int32 below
    2^15."""

    q_OI: NDArray[np.int8]
    multiplier_O: NDArray[np.int32]
    exponent: int


def block_matrices(
    weights: dict[str, StoredWeight], config: ModelConfig, layer: int, seed: int, source: str
) -> dict[str, Matrix]:
    """The six matrices of a block by name, with its gains inside `out` and `down`, and divided by the levels of the
    activations they are multiplied by. Raises ArtifactError, naming the matrix, for numbers beyond the exact range."""
    block, result = f"blocks.{layer}", {}
    for name, shape in matrix_shapes(config).items():
        gain = {"out": "attention_gain", "down": "mlp_gain"}.get(name)
        gain_O = None if gain is None else weights[f"{block}.{gain}"].q
        where = f"{source}: weight {block}.{name}"
        if is_seeded(config, name):
            merged = _merged(weights, config, f"{block}.{name}", shape, seed, where)
            q, steps = _quantised(_times(merged, gain_O, where), where)
        else:
            q, steps = _stored(weights[f"{block}.{name}.dense"], gain_O)
        levels = {"out": LEVELS * LEVELS, "down": 255}.get(name, 1)
        result[name] = Matrix(q, *multipliers([Fraction(s, levels << UNIT_BITS) for s in steps], where))
    return result


def multipliers(steps: Sequence[Fraction], where: str) -> tuple[NDArray[np.int32], int]:
    """Rows' steps as whole numbers of 2^-exponent, halves up, with the largest exponent up to 60 that keeps them below
    2^15. Raises ArtifactError where that is below LEAST_EXPONENT."""
    top = max(steps, default=Fraction(0))
    exponent = 60
    while exponent >= LEAST_EXPONENT and _nearest(top, exponent) > MULTIPLIER_LIMIT:
        exponent -= 1
    if exponent < LEAST_EXPONENT:
        raise ArtifactError(f"{where} has entries above what exact inference can hold; train with less.")
    return np.array([_nearest(s, exponent) for s in steps], np.int32), exponent


def _nearest(x: Fraction, bits: int) -> int:
    return ((x.numerator << (bits + 1)) + x.denominator) // (2 * x.denominator)


def _stored(weight: StoredWeight, gain_O: NDArray[np.int64] | None) -> tuple[NDArray[np.int8], list[int]]:
    """A stored matrix as it is, its rows' steps times its gain in units of 2^-32; a negative gain turns the row
    round."""
    q = weight.q.astype(np.int8)
    steps = [int(s) << (UNIT_BITS - STEP_BITS) for s in weight.step_R]
    if gain_O is None:
        return q, steps
    signs = np.where(gain_O < 0, -1, 1).astype(np.int8)
    return q * signs[:, None], [s * abs(int(g)) >> STEP_BITS for s, g in zip(steps, gain_O, strict=True)]


def _merged(
    weights: dict[str, StoredWeight],
    config: ModelConfig,
    name: str,
    shape: tuple[int, int],
    seed: int,
    where: str,
) -> NDArray[np.int64]:
    """base + lora_b @ lora_a in units of 2^-32: int64 [out, in]."""
    if config.base != "hadamard":
        raise ArtifactError(
            f"{where} has a {config.base} base, whose bits depend on the machine; exact inference needs "
            'model.base = "hadamard".'
        )
    rows, cols = shape
    block, rounds = block_and_rounds(max(shape))
    scale = np.float32(config.base_gain / math.sqrt(block**rounds))
    base = integer_base(derive_seed(seed, name.replace("blocks.", "layers.")), rows, cols).astype(np.int64)
    numerator, denominator = float(scale).as_integer_ratio()  # the denominator is a power of two
    _check(int(np.abs(base).max()) * numerator, where)
    merged = _shifted(base * numerator, denominator.bit_length() - 1 - UNIT_BITS, where)
    if config.r == 0:
        return merged
    a, b = weights[f"{name}.lora_a"], weights[f"{name}.lora_b"]
    a_RI = a.q * a.step_R[:, None]
    if int(np.abs(a_RI).max()) * int(np.abs(b.q).max()) * config.r >= _EXACT_FLOAT:
        raise _beyond(where)
    # Whole numbers below 2^53: the float64 product is the integer product, in any order.
    product = (b.q.astype(np.float64) @ a_RI.astype(np.float64)).astype(np.int64)
    _check(int(np.abs(product).max()) * int(b.step_R.max()), where)
    return merged + _shifted(product * b.step_R[:, None], 2 * STEP_BITS - UNIT_BITS, where)


def _times(merged_OI: NDArray[np.int64], gain_O: NDArray[np.int64] | None, where: str) -> NDArray[np.int64]:
    if gain_O is None:
        return merged_OI
    _check(int(np.abs(merged_OI).max()) * int(np.abs(gain_O).max()), where)
    return _shifted(merged_OI * gain_O[:, None], STEP_BITS, where)


def _quantised(merged_OI: NDArray[np.int64], where: str) -> tuple[NDArray[np.int8], list[int]]:
    """Rows rounded to int8, halves up, in steps of the row's largest entry over 127, rounded up."""
    peak_O = np.abs(merged_OI).max(axis=1)
    step_O = np.maximum((peak_O + (LEVELS - 1)) // LEVELS, 1)
    _check(2 * int(peak_O.max()) + int(step_O.max()), where)
    q = (2 * merged_OI + step_O[:, None]) // (2 * step_O[:, None])
    return q.astype(np.int8), step_O.tolist()


def _shifted(x: NDArray[np.int64], bits: int, where: str) -> NDArray[np.int64]:
    """x / 2^bits, halves up; times 2^-bits for a negative number of bits."""
    if bits > 62:
        return np.zeros_like(x)
    if bits > 0:
        return (x + (1 << (bits - 1))) >> bits
    _check(int(np.abs(x).max()) << -bits, where)
    return x << -bits


def _check(largest: int, where: str) -> None:
    if largest >= _LIMIT:
        raise _beyond(where)


def _beyond(where: str) -> ArtifactError:
    return ArtifactError(
        f"{where} has numbers beyond the exact range; train again with a lower learning rate."
    )

"""Exact matrix products of small integers: unsigned bytes times signed bytes, summed in int32.

A product is `MR` rows by 64 columns at a time, four terms a step, with the right-hand side packed so that 64 columns
of four terms lie together. Where the processor multiplies and adds four bytes in one instruction (AVX512-VNNI), that
instruction is used; everywhere else products of 16 bits, in pairs. Integers do not care: the result is the sum.

Legend: M rows, N columns, K terms.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable
from numpy.typing import NDArray

ROWS = 6  # of one tile: six rows of four vectors fill the 32 vector registers
FEW = 2  # of a tile for the rows that are left
COLUMNS = 64
MAX_TERMS = (1 << 31) // (255 * 127) // 4 * 4  # sums of so many products stay within int32


def pack_columns(matrix_NK: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
    """A matrix [N, K] of int8 values as the right-hand side of products: int8 [N' / 64, K / 4, 64, 4], N' the next
    multiple of 64, filled with zeros. K is a multiple of 4, at most MAX_TERMS."""
    n, k = matrix_NK.shape
    padded = np.zeros((-(-n // COLUMNS) * COLUMNS, k), np.int8)
    padded[:n] = matrix_NK
    return np.ascontiguousarray(padded.reshape(-1, COLUMNS, k // 4, 4).transpose(0, 2, 1, 3))


@register_jitable
def multiply(a, a_stride, b, c, c_stride, rows, terms):
    """c[i, j] = sum over `terms` of a[i, k] * b[j, k], for the rows i and COLUMNS columns j.

    Addresses: `a` uint8, `a_stride` bytes from row to row; `b` packed int8; `c` int32, `c_stride` numbers from row to
    row. `terms` is a positive multiple of 4. One row more than `rows` may be read and written, where it is odd.
    """
    sixes = (rows + 1) // ROWS * ROWS
    for row in range(0, sixes, ROWS):
        _six_rows(a + row * a_stride, a_stride, b, c + row * c_stride * 4, c_stride * 4, terms >> 2)
    for row in range(sixes, rows, FEW):
        _two_rows(a + row * a_stride, a_stride, b, c + row * c_stride * 4, c_stride * 4, terms >> 2)


@register_jitable
def multiply_apart(apart, row, matrix, sums_N):
    """sums_N += 128 times the product of a packed matrix with what is kept apart of a state."""
    four = np.int64(apart.four[row])
    if four < 0:
        return
    high = apart.high.ctypes.data + row * 8
    terms = matrix.shape[1] * 4
    for tile in range(matrix.shape[0]):
        at = matrix.ctypes.data + (tile * terms + four * 4) * COLUMNS
        _add_four(high, at, sums_N.ctypes.data + tile * COLUMNS * 4)


def _has_vnni(context: Any) -> bool:
    features = str(context.codegen()._tm_features)
    return "+avx512vnni" in features and "+avx512vl" in features


@intrinsic
def _six_rows(typingctx, a, a_stride, b, c, c_stride, steps):
    return _tile(ROWS)


@intrinsic
def _two_rows(typingctx, a, a_stride, b, c, c_stride, steps):
    return _tile(FEW)


@intrinsic
def _add_four(typingctx, high, b, c):
    """c[j] += 128 * (b[j] . high) of four int16 and COLUMNS columns."""

    def codegen(context, builder, signature, args):
        high, b, c = args
        i16, word = ir.IntType(16), ir.VectorType(ir.IntType(32), 8)
        four = _load(builder, high, ir.VectorType(i16, 4))
        row = _pick(builder, four, four, [0, 1, 2, 3] * 4)
        for column in range(0, COLUMNS, 8):
            halves = []
            for at in (column, column + 4):
                entries = _load(builder, _plus(builder, b, _i64(4 * at)), ir.VectorType(ir.IntType(8), 16))
                halves.append(_products(builder, row, builder.sext(entries, row.type)))
            (found,) = _joined(builder, halves)
            to = _plus(builder, c, _i64(4 * column))
            total = builder.add(_load(builder, to, word), builder.shl(found, ir.Constant(word, [7] * 8)))
            builder.store(total, builder.inttoptr(to, word.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _tile(rows):
    """Signature and code of a tile's product of so many rows."""
    signature = types.void(types.int64, types.int64, types.int64, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        a, a_stride, b, c, c_stride, steps = args
        # Four vectors a row: of 16 columns, or where 16 registers must hold all, of two sums of 4 columns.
        size, columns, add, finish = (
            (rows, 64, _fused, _whole) if _has_vnni(context) else (2, 16, _pairs, _joined)
        )
        for row in range(0, rows, size):
            for column in range(0, COLUMNS, columns):
                left = [_plus(builder, a, builder.mul(a_stride, _i64(row + i))) for i in range(size)]
                found = _sums(builder, left, _plus(builder, b, _i64(4 * column)), steps, columns, add)
                for i in range(size):
                    at = _plus(builder, c, builder.mul(c_stride, _i64(row + i)), _i64(4 * column))
                    for vector in finish(builder, found[i]):
                        builder.store(vector, builder.inttoptr(at, vector.type.as_pointer())).align = 4
                        at = _plus(builder, at, _i64(4 * vector.type.count))
        return context.get_dummy_value()

    return signature, codegen


def _sums(builder, left, right, steps, columns, add):
    """Four vectors of sums for each row, whose addresses are `left`, with the columns at `right`."""
    i32, i64 = ir.IntType(32), ir.IntType(64)
    before = builder.block
    loop, after = (builder.function.append_basic_block(name) for name in ("terms", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(i64)
    step.add_incoming(_i64(0), before)
    kind = ir.VectorType(i32, 16 if add is _fused else 8)
    sums = [[builder.phi(kind) for _ in range(4)] for _ in left]
    at = _plus(builder, right, builder.mul(step, _i64(4 * COLUMNS)))
    eight = ir.VectorType(ir.IntType(8), columns)
    vectors = [_load(builder, _plus(builder, at, _i64(columns * j)), eight) for j in range(4)]
    new = []
    for row, of_row in zip(left, sums, strict=True):
        four = _load(builder, _plus(builder, row, builder.mul(step, _i64(4))), i32)
        repeated = builder.insert_element(_undefined(i32, columns // 4), four, _i32(0))
        repeated = _pick(builder, repeated, repeated, [0] * (columns // 4))
        new.append(
            [
                add(builder, s, builder.bitcast(repeated, eight), v)
                for s, v in zip(of_row, vectors, strict=True)
            ]
        )
    following = builder.add(step, _i64(1))
    step.add_incoming(following, loop)
    for s, n in zip(chain(*sums), chain(*new), strict=True):
        s.add_incoming(ir.Constant(kind, [0] * kind.count), before)
        s.add_incoming(n, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    return new


def _fused(builder, total, row, column):
    """Sums of 16 columns and four more products of each, in one instruction."""
    kind = ir.FunctionType(total.type, [total.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [total, *(builder.bitcast(x, total.type) for x in (row, column))])


def _whole(builder, vectors):
    return vectors


def _pairs(builder, total, row, column):
    """Two sums of each of 4 columns, and pairs of 16-bit products: every processor has an instruction for them."""
    half = ir.VectorType(ir.IntType(16), 16)
    return builder.add(total, _products(builder, builder.zext(row, half), builder.sext(column, half)))


def _products(builder, left, right):
    """Sums of two neighbouring products each of 16 numbers of 16 bits."""
    word = ir.VectorType(ir.IntType(32), 16)
    products = builder.mul(builder.sext(left, word), builder.sext(right, word))
    return builder.add(*(_pick(builder, products, products, range(i, 16, 2)) for i in (0, 1)))


def _joined(builder, vectors):
    """The two sums of a column added: 8 columns from two vectors."""
    return [
        builder.add(*(_pick(builder, vectors[j], vectors[j + 1], range(i, 16, 2)) for i in (0, 1)))
        for j in range(0, len(vectors), 2)
    ]


def _i64(x):
    return ir.Constant(ir.IntType(64), x)


def _i32(x):
    return ir.Constant(ir.IntType(32), x)


def _undefined(kind, count):
    return ir.Constant(ir.VectorType(kind, count), ir.Undefined)


def _plus(builder, address, *parts):
    for part in parts:
        address = builder.add(address, part)
    return address


def _load(builder, address, kind):
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = 1
    return loaded


def _pick(builder, x, y, places):
    """The elements at these places of two vectors, one behind the other."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(x, y, mask)

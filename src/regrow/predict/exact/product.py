"""Exact matrix products of small integers: unsigned bytes times signed bytes, summed in int32.

A product is `MR` rows by 64 columns at a time, four terms a step, with the right-hand side packed so that 64 columns
of four terms lie together. Where the processor multiplies and adds four bytes in one instruction (AVX512-VNNI), that
instruction is used; everywhere else LLVM makes what it can of the same sum. Integers do not care: the result is the
sum.

Legend: M rows, N columns, K terms.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
from __future__ import annotations

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
    h0, h1, h2, h3 = apart.high[row, 0], apart.high[row, 1], apart.high[row, 2], apart.high[row, 3]
    for tile in range(matrix.shape[0]):
        for c in range(COLUMNS):
            upper = np.int32(matrix[tile, four, c, 0] * h0) + np.int32(matrix[tile, four, c, 1] * h1)
            lower = np.int32(matrix[tile, four, c, 2] * h2) + np.int32(matrix[tile, four, c, 3] * h3)
            sums_N[np.uint64(tile * COLUMNS + c)] += np.int32(np.int32(upper + lower) << 7)


def _has_vnni(context: Any) -> bool:
    features = str(context.codegen()._tm_features)
    return "+avx512vnni" in features and "+avx512vl" in features


@intrinsic
def _six_rows(typingctx, a, a_stride, b, c, c_stride, steps):
    return _tile(ROWS)


@intrinsic
def _two_rows(typingctx, a, a_stride, b, c, c_stride, steps):
    return _tile(FEW)


def _tile(rows):
    """Signature and code of a tile's product of so many rows."""
    signature = types.void(types.int64, types.int64, types.int64, types.int64, types.int64, types.int64)
    lanes, vectors = 16, COLUMNS // 16

    def codegen(context, builder, signature, args):
        a, a_stride, b, c, c_stride, steps = args
        i32, i64 = ir.IntType(32), ir.IntType(64)
        v16, v64b = ir.VectorType(i32, lanes), ir.VectorType(ir.IntType(8), 4 * lanes)
        fused = _has_vnni(context)

        def int64_of(x):
            return ir.Constant(i64, x)

        def load(address, kind):
            loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
            loaded.align = 1
            return loaded

        before = builder.block
        loop, after = (builder.function.append_basic_block(name) for name in ("terms", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(i64)
        step.add_incoming(int64_of(0), before)
        sums = [builder.phi(v16) for _ in range(rows * vectors)]
        for s in sums:
            s.add_incoming(ir.Constant(v16, [0] * lanes), before)
        columns = [
            load(
                builder.add(
                    b, builder.add(builder.mul(step, int64_of(4 * COLUMNS)), int64_of(4 * lanes * j))
                ),
                v64b,
            )
            for j in range(vectors)
        ]
        undefined = ir.Constant(v16, ir.Undefined)
        new = []
        for i in range(rows):
            at = builder.add(
                a, builder.add(builder.mul(a_stride, int64_of(i)), builder.mul(step, int64_of(4)))
            )
            four = builder.insert_element(undefined, load(at, i32), ir.Constant(i32, 0))
            row = builder.shuffle_vector(four, undefined, ir.Constant(v16, [0] * lanes))
            for j in range(vectors):
                new.append(
                    (_fused if fused else _plain)(builder, sums[i * vectors + j], row, columns[j], v16, v64b)
                )
        following = builder.add(step, int64_of(1))
        step.add_incoming(following, loop)
        for s, n in zip(sums, new, strict=True):
            s.add_incoming(n, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
        builder.position_at_end(after)
        for i in range(rows):
            for j in range(vectors):
                at = builder.add(c, builder.add(builder.mul(c_stride, int64_of(i)), int64_of(4 * lanes * j)))
                store = builder.store(new[i * vectors + j], builder.inttoptr(at, v16.as_pointer()))
                store.align = 4
        return context.get_dummy_value()

    return signature, codegen


def _fused(builder, total, row, column, v16, v64b):
    kind = ir.FunctionType(v16, [v16, v16, v16])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [total, row, builder.bitcast(column, v16)])


def _plain(builder, total, row, column, v16, v64b):
    """The same sum as pairs of 16-bit products, which every processor's vector unit has an instruction for."""
    half, word = ir.VectorType(ir.IntType(16), 64), ir.VectorType(ir.IntType(32), 32)
    left, right = builder.zext(builder.bitcast(row, v64b), half), builder.sext(column, half)

    def pick(x, kind, first, step, count):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), count), [first + step * t for t in range(count)])
        return builder.shuffle_vector(x, ir.Constant(kind, ir.Undefined), mask)

    pairs = [
        builder.mul(
            builder.sext(pick(left, half, odd, 2, 32), word),
            builder.sext(pick(right, half, odd, 2, 32), word),
        )
        for odd in (0, 1)
    ]
    sums = builder.add(*pairs)
    return builder.add(total, builder.add(pick(sums, word, 0, 2, 16), pick(sums, word, 1, 2, 16)))

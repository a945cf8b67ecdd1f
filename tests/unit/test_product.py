"""Products of bytes: both ways to make a tile give the sum, whatever this processor has."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.extending import intrinsic

from regrow.predict.exact import product
from regrow.predict.exact.product import COLUMNS, FEW, ROWS, pack_columns


def tile_of(rows: int) -> Any:
    @intrinsic
    def tile(typingctx, a, a_stride, b, c, c_stride, steps):  # type: ignore[no-untyped-def]
        return product._tile(rows)

    return tile


def four_by_four(builder: Any, total: Any, row: Any, column: Any) -> Any:
    """What the instruction of AVX512-VNNI does, in others."""
    wide = ir.VectorType(ir.IntType(32), 64)
    products = builder.mul(builder.zext(row, wide), builder.sext(column, wide))
    for i in range(4):
        total = builder.add(total, product._pick(builder, products, products, range(i, 64, 4)))
    return total


@pytest.mark.parametrize("rows", [ROWS, FEW])
@pytest.mark.parametrize("vnni", [False, True])
def test_a_tile_is_the_sum(monkeypatch: pytest.MonkeyPatch, vnni: bool, rows: int) -> None:
    monkeypatch.setattr(product, "_has_vnni", lambda context: vnni)
    monkeypatch.setattr(product, "_fused", four_by_four)
    tile = tile_of(rows)

    @numba.njit
    def multiply(a, b, c):  # type: ignore[no-untyped-def]
        tile(a.ctypes.data, a.shape[1], b.ctypes.data, c.ctypes.data, c.shape[1] * 4, a.shape[1] >> 2)

    rng = np.random.Generator(np.random.PCG64(rows))
    for terms in (4, 52):
        a, matrix = rng.integers(0, 256, (rows, terms)), rng.integers(-127, 128, (COLUMNS, terms))
        a[0], matrix[0] = 255, -127  # the ends of both ranges
        found = np.zeros((rows + 1, COLUMNS + 8), np.int32)
        multiply(a.astype(np.uint8), pack_columns(matrix), found)
        assert np.array_equal(found[:rows, :COLUMNS], a @ matrix.T)
        assert not found[rows:].any() and not found[:, COLUMNS:].any()


def test_the_instruction_for_four_bytes_is_used_where_it_is() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = ir.Module()
    module.triple = "x86_64-unknown-linux-gnu"
    word = ir.VectorType(ir.IntType(32), 16)
    function = ir.Function(module, ir.FunctionType(word, [word] * 3), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    total, row, column = function.args
    eight = ir.VectorType(ir.IntType(8), 64)
    builder.ret(product._fused(builder, total, builder.bitcast(row, eight), builder.bitcast(column, eight)))
    machine = llvm.Target.from_triple(module.triple).create_target_machine(cpu="cascadelake", opt=3)
    assert "vpdpbusd" in machine.emit_assembly(llvm.parse_assembly(str(module)))

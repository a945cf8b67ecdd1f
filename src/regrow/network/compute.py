"""What this machine computes well: number format, memory reuse, products."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable

import torch

from regrow.core.errors import EnvironmentProblem

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where matrix products in it are fast (CUDA; CPUs with AMX or AVX512-BF16), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def check_products(
    shapes: Iterable[tuple[int, ...]], rows: int, dtype: torch.dtype, device: torch.device
) -> None:
    """Multiply ones by ones with matrices of `shapes` [out, in] and so many rows, forwards and backwards.

    Raises EnvironmentProblem where a product is wrong: libraries compute NaN in bfloat16 when OpenMP gives them fewer
    threads than they asked for. Call it before work that would believe the numbers.
    """
    for out, inner in sorted({(shape[0], shape[1]) for shape in shapes if len(shape) == 2}):
        x_RI = torch.ones(rows, inner, dtype=dtype, device=device)
        w_OI = torch.ones(out, inner, dtype=dtype, device=device)
        y_RO = torch.nn.functional.linear(x_RI, w_OI)
        square_OO = torch.bmm(w_OI[None], w_OI[None].transpose(1, 2))
        ones_RO = torch.ones_like(y_RO)
        for found, expected in (
            (y_RO, inner),
            (square_OO, inner),
            (ones_RO @ w_OI, out),
            (ones_RO.T @ x_RI, rows),
        ):
            least, most = (float(bound) for bound in found.aminmax())  # NaN where any of them is
            if not expected * 63 / 64 <= least <= most <= expected * 65 / 64:
                raise EnvironmentProblem(
                    f"products in {str(dtype).removeprefix('torch.')} with {torch.get_num_threads()} threads are "
                    f"wrong on this machine (ones by ones gave {least:g} to {most:g} instead of {expected}); unset "
                    "OMP_DYNAMIC and OMP_THREAD_LIMIT or set OMP_NUM_THREADS=1, and start again."
                )


def keep_freed_pages() -> None:
    """Ask glibc's malloc to reuse large freed blocks instead of returning them to the kernel at once.

    By default every tensor over 32 MB is mapped, zeroed page by page and unmapped again; elementwise work on such
    tensors then runs about five times slower than the arithmetic needs. No effect where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)

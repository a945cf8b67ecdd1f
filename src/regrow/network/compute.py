"""What this machine computes well: number format, memory reuse, compilation."""

from __future__ import annotations

import ctypes
import shutil
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def compute_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where matrix products in it are fast (CUDA; CPUs with AMX or AVX512-BF16), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


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


def has_compiler() -> bool:
    """Whether a C++ compiler that torch.compile can use is on the path."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))

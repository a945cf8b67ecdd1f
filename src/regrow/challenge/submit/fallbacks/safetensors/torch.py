"""Stands in for safetensors.torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

_NAMES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def save(tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a file."""
    codes = {dtype: code for code, dtype in _NAMES.items()}
    # The widest first, then by name: every tensor begins at a multiple of its own width.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    parts, at = [], 0
    for name in order:
        tensor = tensors[name].detach().cpu().contiguous()
        raw = tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        table[name] = {
            "dtype": codes[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(raw)],
        }
        parts.append(raw)
        at += len(raw)
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"".join(parts)


def save_file(tensors: dict[str, Any], path: Any, metadata: dict[str, str] | None = None) -> None:
    """Write a file."""
    Path(path).write_bytes(save(tensors, metadata))


def load(data: bytes) -> dict[str, Any]:
    """The tensors of a file's bytes."""
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + size])
    rest = memoryview(data)[8 + size :]
    return {name: _tensor(entry, rest) for name, entry in table.items() if name != "__metadata__"}


def load_file(path: Any, device: str = "cpu") -> dict[str, Any]:
    """The tensors of a file."""
    return load(Path(path).read_bytes())


def _tensor(entry: dict[str, Any], data: memoryview) -> Any:
    start, stop = entry["data_offsets"]
    if not 0 <= start <= stop <= len(data):
        raise ValueError("offsets beyond the file")
    if start == stop:
        return torch.empty(entry["shape"], dtype=_NAMES[entry["dtype"]])
    flat = torch.frombuffer(bytearray(data[start:stop]), dtype=_NAMES[entry["dtype"]])
    return flat.reshape(entry["shape"])

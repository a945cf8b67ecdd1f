"""Checkpoints of a training run: one safetensors file each, the last two kept, nothing pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from regrow.errors import DataError
from regrow.files import atomic_write_bytes

_KEPT = 2
_SEPARATOR = "/"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` (nested dicts and lists of tensors, numbers and strings) as `folder/step-N.safetensors`.

    Tensors become the file's tensors, everything else one metadata key. The file appears whole or not at all.
    """
    tensors: dict[str, Tensor] = {}
    rest = _split(state, "", tensors)
    path = folder / f"step-{step:08d}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"state": msgspec.json.encode(rest).decode()}
    atomic_write_bytes(
        path, safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}, metadata)
    )
    for old in sorted(folder.glob("step-*.safetensors"))[:-_KEPT]:
        old.unlink()
    return path


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The newest checkpoint in `folder`. Raises DataError if there is none or it cannot be read."""
    found = sorted(folder.glob("step-*.safetensors"))
    if not found:
        raise DataError(f"{folder}: holds no checkpoint; train without --resume.")
    try:
        with safetensors.safe_open(found[-1], "pt") as file:
            rest = msgspec.json.decode(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, msgspec.DecodeError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{found[-1]}: cannot be read ({error}); delete it to go on from the one before."
        ) from error
    state = _join(rest, "", tensors)
    assert isinstance(state, dict)
    return state


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[k, _split(v, f"{path}{_SEPARATOR}{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{path}{_SEPARATOR}{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _join(node: dict[str, Any], path: str, tensors: dict[str, Tensor]) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "dict" in node:
        return {k: _join(v, path, tensors) for k, v in node["dict"]}
    if "list" in node:
        return [_join(v, path, tensors) for v in node["list"]]
    return node["value"]

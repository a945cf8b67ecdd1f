"""Stands in for safetensors: files of named tensors, a JSON header before their bytes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any


class SafetensorError(Exception):
    """A file that is none."""


class safe_open:
    """A file opened for reading, as a context manager."""

    def __init__(self, path: Any, framework: str = "pt", device: str = "cpu") -> None:
        data = Path(path).read_bytes()
        size = int.from_bytes(data[:8], "little")
        try:
            self._table = json.loads(data[8 : 8 + size])
        except ValueError as error:
            raise SafetensorError("no header") from error
        self._metadata = self._table.pop("__metadata__", None)
        self._data = memoryview(data)[8 + size :]

    def __enter__(self) -> safe_open:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def metadata(self) -> dict[str, str] | None:
        """The header's words, or None."""
        return self._metadata  # type: ignore[no-any-return]

    def keys(self) -> Iterable[str]:
        """The tensors' names."""
        return list(self._table)

    def get_tensor(self, name: str) -> Any:
        """One tensor."""
        try:
            return importlib.import_module(f"{__name__}.torch")._tensor(self._table[name], self._data)
        except (KeyError, ValueError, RuntimeError) as error:
            raise SafetensorError(f"damaged tensor {name}") from error

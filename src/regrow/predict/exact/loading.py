"""The exact model of an artifact, regrown or from the cache: records of arrays, which are kept as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.artifact.load_cache import ArrayCache
from regrow.artifact.stored import StoredArtifact
from regrow.core.compilation import compile_ahead
from regrow.ngram.memory import Memory
from regrow.ngram.model.ngram_model import NgramModel
from regrow.predict.exact import network, rows
from regrow.predict.exact.model import ExactModel
from regrow.predict.exact.records import Layers
from regrow.predict.exact.rows import Head, MemoryTables
from regrow.predict.exact.suggestions import suggest

_VERSION = "exact 4"  # of the arrays below: another number when their meaning changes
_RECORDS = {"layers": Layers, "head": Head, "memory": MemoryTables}


def exact_model(
    stored: StoredArtifact,
    cache: ArrayCache | None = None,
    notice: Callable[[str], None] | None = None,
    *,
    memory: Memory | None = None,
) -> ExactModel:
    """The exact model of a stored artifact.

    `memory`: the artifact's own, where it is loaded already. Raises ArtifactError for numbers outside the exact range.
    """
    key = (stored.sha256, _VERSION)
    arrays = cache.load(*key) if cache else None
    model = _from_arrays(arrays) if arrays else None
    if model is not None:
        return model
    reads = [suggest] if stored.config.model.memory_input else []
    compile_ahead(*reads, network.forward, rows.weigh)
    memory = memory or stored.memory()
    model = ExactModel.of(
        stored.config, stored.payloads, memory, vocab_size=stored.vocab_size, seed=stored.seed,
        bos_id=stored.tokenizer.bos_id, source=stored.source, format_version=stored.manifest["format_version"],
    )  # fmt: skip
    if cache is not None and (memory is None or isinstance(memory, NgramModel)):
        problem = cache.keep(_to_arrays(model), *key)
        if problem and notice:
            notice(f"nothing is kept in {cache.folder} for the next time ({problem})")
    return model


def _to_arrays(model: ExactModel) -> dict[str, NDArray[Any]]:
    arrays = {
        f"{name}.{field}": np.asarray(value)
        for name in _RECORDS
        for field, value in getattr(model, name)._asdict().items()
    }
    arrays["turns"] = model.turns
    arrays["numbers"] = np.array([model.bos_id, model.vocab_size, model.width], np.int64)
    return arrays


def _from_arrays(arrays: dict[str, NDArray[Any]]) -> ExactModel | None:
    try:
        records: dict[str, Any] = {
            name: kind(*(_passed(arrays[f"{name}.{field}"]) for field in kind._fields))  # type: ignore[attr-defined]
            for name, kind in _RECORDS.items()
        }
        numbers = [int(n) for n in arrays["numbers"]]
        return ExactModel(
            records["layers"], records["head"], records["memory"], None, np.asarray(arrays["turns"]), *numbers
        )
    except (KeyError, TypeError, ValueError):
        return None


def _passed(array: NDArray[Any]) -> Any:
    """An array, or the number that a record holds in its place."""
    return array.item() if array.ndim == 0 else array

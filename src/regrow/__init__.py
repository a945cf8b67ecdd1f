"""Language models under a byte budget: matrices that regrow from seeds, and scores that are proven.

The names below are loaded when they are first used, so that `import regrow` costs nothing and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Artifact": "artifact.artifact",
    "EvalResult": "predict.evaluation",
    "NgramCounts": "ngram.counts.ngram_counts",
    "NgramModel": "ngram.model.ngram_model",
    "Predictor": "predict.predictor",
    "SeededLinear": "network.lora",
    "audit": "challenge.audit",
    "compress": "predict.codec",
    "decompress": "predict.codec",
    "evaluate": "predict.evaluation",
    "load_config": "core.config.load",
    "load_preset": "core.config.load",
    "prove": "predict.proof",
    "seeded_orthogonal": "network.bases",
    "train": "training.trainer",
    "write_report": "report.page",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

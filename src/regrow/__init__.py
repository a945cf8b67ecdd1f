"""Language models under a byte budget: frozen random matrices regrown from seeds, and scores that are proven.

The names below are loaded when they are first used, so that `import regrow` costs nothing and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and the docs, which do not run __getattr__
    from regrow.artifact.artifact import Artifact as Artifact
    from regrow.challenge.audit import audit as audit
    from regrow.core.config.load import load_config as load_config
    from regrow.core.config.load import load_preset as load_preset
    from regrow.core.progress import make_progress as make_progress
    from regrow.data.build import make_data as make_data
    from regrow.network.bases import seeded_orthogonal as seeded_orthogonal
    from regrow.network.lora import SeededLinear as SeededLinear
    from regrow.ngram.counts.ngram_counts import NgramCounts as NgramCounts
    from regrow.ngram.model.ngram_model import NgramModel as NgramModel
    from regrow.ngram.word_model import WordModel as WordModel
    from regrow.predict.codec import compress as compress
    from regrow.predict.codec import decompress as decompress
    from regrow.predict.evaluation import EvalResult as EvalResult
    from regrow.predict.evaluation import evaluate as evaluate
    from regrow.predict.model_proof import prove_model as prove_model
    from regrow.predict.predictor import Predictor as Predictor
    from regrow.predict.proof import prove as prove
    from regrow.predict.record_codec import RecordCodec as RecordCodec
    from regrow.predict.stream_file import open as open
    from regrow.predict.token_model import TokenModel as TokenModel
    from regrow.predict.token_model import load_ngram as load_ngram
    from regrow.report.page import write_report as write_report
    from regrow.training.log import Callback as Callback
    from regrow.training.trainer import train as train

__version__ = "0.1.0"

_HOME = {
    "Artifact": "artifact.artifact",
    "Callback": "training.log",
    "EvalResult": "predict.evaluation",
    "NgramCounts": "ngram.counts.ngram_counts",
    "NgramModel": "ngram.model.ngram_model",
    "Predictor": "predict.predictor",
    "RecordCodec": "predict.record_codec",
    "SeededLinear": "network.lora",
    "audit": "challenge.audit",
    "compress": "predict.codec",
    "decompress": "predict.codec",
    "evaluate": "predict.evaluation",
    "load_config": "core.config.load",
    "load_preset": "core.config.load",
    "make_data": "data.build",
    "make_progress": "core.progress",
    "open": "predict.stream_file",
    "prove": "predict.proof",
    "prove_model": "predict.model_proof",
    "seeded_orthogonal": "network.bases",
    "train": "training.trainer",
    "TokenModel": "predict.token_model",
    "WordModel": "ngram.word_model",
    "load_ngram": "predict.token_model",
    "write_report": "report.page",
}

__all__ = [*_HOME, "__version__"]


if not TYPE_CHECKING:  # or every misspelled name would be Any

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

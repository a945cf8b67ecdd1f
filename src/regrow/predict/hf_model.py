"""A Hugging Face causal language model in a local folder, as `regrow.predict.model_proof` drives it.

Legend: S streams, T tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regrow.core.errors import ConfigError, DataError, EnvironmentProblem


class HuggingFaceModel:
    """Model and tokenizer of a folder that `save_pretrained` wrote. Nothing is fetched, and no code of the folder runs.

    Raises EnvironmentProblem without transformers, ConfigError for a folder that does not hold both, or a model without
    a token to begin with.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import transformers
        except ImportError as error:
            raise EnvironmentProblem(
                f"hf:{folder}: this needs transformers; pip install 'transformers>=4.45'."
            ) from error
        try:
            where = {"local_files_only": True, "trust_remote_code": False}
            with _no_bars(transformers.utils.logging):
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, **where)
                self._model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, **where).eval()
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise ConfigError(
                f"hf:{folder}: holds no causal language model with its tokenizer "
                f"({' '.join(str(error).split())[:160]}); give a folder that save_pretrained wrote both into."
            ) from error
        config = self._model.config
        starts = (self._tokenizer.bos_token_id, config.bos_token_id, self._tokenizer.eos_token_id)
        self._start: int | None = next((token for token in starts if isinstance(token, int)), None)
        if self._start is None:
            raise ConfigError(
                f"hf:{folder}: has no bos_token and no eos_token, so there is nothing that a text begins after; name "
                "one in tokenizer_config.json."
            )
        self._window: int | None = getattr(config, "max_position_embeddings", None)

    def encode(self, data: bytes) -> NDArray[np.int64]:
        """The tokens of a UTF-8 text, no special ones around it. Raises DataError for other bytes."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"the text: byte {error.start:,} is not UTF-8, which a Hugging Face tokenizer needs; convert it."
            ) from error
        return np.array(self._tokenizer.encode(text, add_special_tokens=False, verbose=False), np.int64)

    def decode(self, tokens_T: NDArray[np.int64]) -> bytes:
        """The text of these tokens."""
        text: str = self._tokenizer.decode(
            tokens_T.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text.encode("utf-8", "surrogatepass")

    def predictor(self, streams: int) -> _Steps:
        """S texts in lock-step, each of which begins after the model's first token."""
        assert self._start is not None
        return _Steps(self._model, self._start, streams, self._window)


class _Steps:
    """One token at a time with a cache of keys and values, the same products for encoder and decoder.

    A model's window that is full begins anew with its last half, so that later tokens have at least half a window of
    context.
    """

    def __init__(self, model: Any, start: int, streams: int, window: int | None) -> None:
        self._model, self._window = model, window
        self._tokens_ST = np.full((streams, 1), start, np.int64)
        self._cache: Any = None
        accepted = inspect.signature(model.forward).parameters
        self._cached = (
            "cache" if "cache" in accepted else "past_key_values"
        )  # its name before transformers 5.24
        self._fresh = 1  # tokens that the model has not read

    @torch.inference_mode()
    def predict(self) -> Tensor:
        """Log probabilities of the next token, float64 [S, V]."""
        if self._fresh:
            ids = torch.from_numpy(self._tokens_ST[:, -self._fresh :])
            read = self._model(input_ids=ids, use_cache=True, **{self._cached: self._cache})
            self._cache, self._fresh = read[self._cached], 0
            self._log_probs_SV = torch.log_softmax(read.logits[:, -1].double(), dim=-1)
        return self._log_probs_SV

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """These tokens came next."""
        self.predict()
        kept = -1 if self._window is None else None  # without a window nothing is read twice
        self._tokens_ST = np.concatenate((self._tokens_ST[:, :kept], tokens_S[:, None]), axis=1)
        self._fresh = 1
        if self._window is not None and self._tokens_ST.shape[1] > self._window:
            self._fresh = max(1, self._window // 2)
            self._tokens_ST, self._cache = self._tokens_ST[:, -self._fresh :], None


@contextlib.contextmanager
def _no_bars(log: Any) -> Iterator[None]:
    """Inside, transformers draws no progress bars of its own."""
    drawn = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    try:
        yield
    finally:
        if drawn:
            log.enable_progress_bar()

"""Any language model's bits per byte, proven as an artifact's are: the text is really coded, and decoded back.

The model's floats become whole frequencies, and those depend on the machine, its libraries and the number of threads.
So the stream is no file to keep: it is decoded here and now, which proves that the rows were distributions, fixed
before their token was known, and that no bit of the text came from elsewhere.

A stream is varint tokens, varint streams, and the range coder's words.

Legend: S streams, T tokens, V vocabulary.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow.artifact.range_coder import TOTAL, RangeDecoder, RangeEncoder
from regrow.core.errors import ConfigError, DataError, ProofError, StreamError
from regrow.core.files import sha256_hex
from regrow.core.progress import Progress, Silent
from regrow.core.results import Proof
from regrow.core.varints import decode_varint, encode_varint
from regrow.data.dataset import read_text_argument
from regrow.predict.lockstep import IGNORED, split_streams
from regrow.predict.proof import decode_elsewhere

HUGGING_FACE = "hf:"
DECODER = (sys.executable, "-m", "regrow.predict.model_proof")
_MAX_SUM_ERROR = 1e-4  # of a row's probabilities; what float32 gives lies far below
_WEIGHT = (1 << 31) - 1  # a probability of 1 as a whole number


class NextToken(Protocol):
    """A model that reads S texts in lock-step."""

    def predict(self) -> Any:
        """Log probabilities of each text's next token, an array [S, V], or [V] where S is 1."""

    def update(self, tokens_S: NDArray[np.int64]) -> None:
        """These tokens came next."""


class ByteCodes(Protocol):
    """Bytes to tokens and back."""

    def encode(self, data: bytes) -> ArrayLike:
        """The tokens of a text."""

    def decode(self, tokens_T: NDArray[np.int64]) -> bytes:
        """The text of these tokens."""


class Bytes:
    """Each byte is a token."""

    def encode(self, data: bytes) -> NDArray[np.int64]:
        """See `ByteCodes.encode`."""
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def decode(self, tokens_T: NDArray[np.int64]) -> bytes:
        """See `ByteCodes.decode`."""
        return tokens_T.astype(np.uint8).tobytes()


def prove_model(
    model: str | Callable[[int], NextToken],
    data: Path | str | bytes,
    progress: Progress | None = None,
    *,
    tokenizer: ByteCodes | None = None,
    streams: int = 1,
) -> Proof:
    """Encode a text with any model's probabilities, decode it, compare SHA-256. bpb = 8 * stream bytes / raw bytes.

    `model`: `hf:FOLDER`, a Hugging Face causal language model that is decoded in a new process; or a function of the
    number of streams that makes a fresh `NextToken`, called once for the encoder and once for the decoder, with its
    `tokenizer` (None: each byte is a token). `data`: a data folder, a file, or the text itself. `streams`: pieces of
    the text side by side, each of which begins cold; more are faster.

    Raises DataError for an empty text or one that the tokenizer does not give back, ProofError for a row that is no
    distribution or a decoder that fails, ConfigError for a model that cannot be used.
    """
    progress = progress or Silent()
    raw = data if isinstance(data, bytes) else read_text_argument(data)
    source = "the text" if isinstance(data, bytes) else str(data)
    if not raw:
        raise DataError(f"{source}: is empty; bits per byte need at least one byte.")
    name = model if isinstance(model, str) else "the model"
    make, codes = _opened(model) if isinstance(model, str) else (model, tokenizer or Bytes())
    tokens = np.asarray(codes.encode(raw), np.int64)
    if codes.decode(tokens) != raw:
        raise DataError(
            f"{source}: the tokenizer of {name} does not give this text back, so its bits would be those of another "
            "text; give it a text that it keeps."
        )
    if not 1 <= streams <= max(1, len(tokens)):
        raise ConfigError(f"--streams {streams}: choose from 1 to the text's {len(tokens):,} tokens.")
    started = time.perf_counter()
    stream, error = _encode(make, tokens, streams, progress)
    encode_seconds, started = time.perf_counter() - started, time.perf_counter()
    if isinstance(model, str):
        del make
        with tempfile.TemporaryDirectory(prefix="regrow-proof-") as folder:
            (Path(folder) / "stream").write_bytes(stream)
            place = HUGGING_FACE + str(_folder(model).resolve())
            decoded = decode_elsewhere(place, Path(folder), progress, DECODER)
    else:
        decoded = codes.decode(_decode(make, stream, progress))
    return Proof(
        bpb=8 * len(stream) / len(raw),
        stream_bytes=len(stream),
        raw_bytes=len(raw),
        sha256_match=sha256_hex(decoded) == sha256_hex(raw),
        max_abs_row_sum_error=error,
        encode_seconds=encode_seconds,
        decode_seconds=time.perf_counter() - started,
        portable=False,
    )


def _folder(model: str) -> Path:
    if not model.startswith(HUGGING_FACE):
        raise ConfigError(
            f"--model {model}: is no model that regrow reads; give {HUGGING_FACE}FOLDER, where FOLDER holds a Hugging "
            "Face causal language model."
        )
    return Path(model.removeprefix(HUGGING_FACE))


def _opened(model: str) -> tuple[Callable[[int], NextToken], ByteCodes]:
    folder = _folder(model)
    from regrow.predict.hf_model import HuggingFaceModel

    loaded = HuggingFaceModel(folder)
    return loaded.predictor, loaded


def _boundaries(predictor: NextToken, streams: int, step: int) -> tuple[NDArray[np.int64], float]:
    """Where each token's interval of 2^24 begins and the last one ends, [S, V + 1], none of them empty; and the largest
    error of a row's sum."""
    log_probs_SV = np.asarray(predictor.predict(), np.float64).reshape(streams, -1)
    probs_SV = np.exp(log_probs_SV)
    sums_S = probs_SV.sum(axis=1)
    error = float(np.abs(sums_S - 1).max())
    if not error <= _MAX_SUM_ERROR:
        raise ProofError(
            f"the model: its probabilities of token {step + 1} sum to {sums_S[np.abs(sums_S - 1).argmax()]:g}, not 1, "
            "so nothing can be coded with them."
        )
    weights_SV = (np.minimum(probs_SV, 1.0) * _WEIGHT).astype(np.int64)
    before_SV1 = np.pad(np.cumsum(weights_SV, axis=1), ((0, 0), (1, 0)))
    V = weights_SV.shape[1]
    return np.arange(V + 1) + before_SV1 * (TOTAL - V) // before_SV1[:, -1:], error


def _encode(
    make: Callable[[int], NextToken], tokens: NDArray[np.int64], streams: int, progress: Progress
) -> tuple[bytes, float]:
    """The stream, and the largest error of a row's sum."""
    tokens_ST, predictor, coder, worst = split_streams(tokens, streams), make(streams), RangeEncoder(), 0.0
    with progress.task("encode", len(tokens), "tokens") as task:
        for step in range(tokens_ST.shape[1]):
            bounds_SV1, error = _boundaries(predictor, streams, step)
            token_S = tokens_ST[tokens_ST[:, step] != IGNORED, step]  # streams that ended come last
            if token_S.min() < 0 or token_S.max() >= bounds_SV1.shape[1] - 1:
                raise ProofError(
                    f"the model: has {bounds_SV1.shape[1] - 1:,} probabilities, and the text's token {token_S.max()} "
                    "is none of them; give the tokenizer it was trained with."
                )
            row_S = np.arange(len(token_S))
            start_S = bounds_SV1[row_S, token_S]
            coder.push(start_S, bounds_SV1[row_S, token_S + 1] - start_S)
            worst = max(worst, error)
            predictor.update(np.maximum(tokens_ST[:, step], 0))
            task.advance(len(token_S))
    return encode_varint(len(tokens)) + encode_varint(streams) + coder.finish(), worst


def _decode(make: Callable[[int], NextToken], stream: bytes, progress: Progress) -> NDArray[np.int64]:
    """The inverse of `_encode`. Raises StreamError."""
    try:
        count, at = decode_varint(stream, 0)
        streams, at = decode_varint(stream, at)
    except ValueError as error:
        raise StreamError(f"the stream: is damaged ({error}); encode again.") from error
    tokens_ST, predictor = split_streams(np.zeros(count, np.int64), streams), make(streams)
    decoder = RangeDecoder(stream[at:])
    with progress.task("decode", count, "tokens") as task:
        for step in range(tokens_ST.shape[1]):
            active = int((tokens_ST[:, step] != IGNORED).sum())
            bounds_SV1, _ = _boundaries(predictor, streams, step)
            tokens_ST[:active, step] = decoder.pop(np.diff(bounds_SV1[:active], axis=1))
            predictor.update(np.maximum(tokens_ST[:, step], 0))
            task.advance(active)
    tokens_T: NDArray[np.int64] = tokens_ST[tokens_ST != IGNORED]
    return tokens_T


def main() -> None:
    """The decoder of a proof, in a process of its own: MODEL STREAM -o OUT."""
    parser = argparse.ArgumentParser(prog="python -m regrow.predict.model_proof")
    parser.add_argument("model")
    parser.add_argument("stream", type=Path)
    parser.add_argument("-o", dest="out", type=Path, required=True)
    asked = parser.parse_args()
    make, codes = _opened(asked.model)
    asked.out.write_bytes(codes.decode(_decode(make, asked.stream.read_bytes(), Silent())))


if __name__ == "__main__":
    main()

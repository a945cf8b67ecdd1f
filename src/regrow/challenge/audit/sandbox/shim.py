"""The child's side of a probe: load a shim (or a regrow artifact) and answer what the audit asks.

What a shim may define is told in `docs/audit/shim.md`; in short, one of

* `predictor(batch) -> object` with `predict() -> log_probs_BV` (nats) and `update(tokens_B)`, or
* `score(tokens) -> nats`, one figure a token, from a fresh state at each call; with it, if there is one,
  `distribution(prefix) -> log_probs_V`.

Names at module level, all optional: `VOCAB_SIZE`, `TOLERANCE`, `DOCUMENT_RESET`, `BOS_ID`, `tokens()`,
`byte_count(tokens)`, `decode(tokens)`, `TEXT`, `state_digest(predictor)`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from regrow.challenge.audit.sandbox.stubs import HollowFinder
from regrow.challenge.audit.sandbox.wire import WireClosed, receive, send
from regrow.core.errors import RegrowError

#: A text to probe an artifact with: sentences, a phrase that comes back, digits, letters of several scripts,
#: odd bytes.
_SAMPLE = (
    "The people of the several States have met again, and the people of the several States have the right to "
    "know what was "
    "done. In 1863 it cost 1,863 dollars; in 1864, 2,117.\n"
    "Über Größe entscheidet der Maßstab — 大小は問わない. "
    "The people of the several States have the right to know.\n"
).encode() + b"\x00\xff\xfe end."

_OPTIONAL = ("distribution", "byte_count", "decode", "tokens", "state_digest")


def serve(path: str, beside: list[str], requests: int, answers: int) -> None:
    """Answer questions until the audit hangs up.

    Args:
        path: a shim, a Python file; or a regrow artifact.
        beside: folders whose modules the shim may import, besides its own: the submission's.
        requests: file descriptor that questions come from.
        answers: file descriptor that answers go to.
    """
    driver: Driver | None = None
    while True:
        try:
            header, arrays = receive(requests)
        except WireClosed:
            return
        try:
            if driver is None:
                driver = Driver(load(Path(path), beside))
            values, results = driver.answer(str(header["ask"]), header, arrays)
            send(answers, values, results)
        except BaseException as error:
            lines = traceback.format_exception(error)
            send(answers, {"error": f"{type(error).__name__}: {error}\n{''.join(lines[-3:])}"[:3000]})
            if isinstance(error, SystemExit | KeyboardInterrupt | MemoryError):
                return


def load(path: Path, beside: list[str]) -> ModuleType | SimpleNamespace:
    """The shim's module, or one made up for a regrow artifact.

    GPU packages that the shim or the submission import and that are missing here are stood in for (`stubs`).

    Raises:
        RegrowError: the file is no shim.
    """
    if path.suffix == ".safetensors":
        return _artifact_shim(path)
    spec = importlib.util.spec_from_file_location("audited_shim", path)
    if spec is None or spec.loader is None:
        raise RegrowError(f"{path}: a shim is a Python file; give a .py file or a regrow artifact.")
    module = importlib.util.module_from_spec(spec)
    folders = [str(path.parent), *beside]
    sys.path[:0] = folders
    sys.meta_path.append(HollowFinder(*folders))
    sys.modules["audited_shim"] = module
    spec.loader.exec_module(module)
    if not (hasattr(module, "predictor") or hasattr(module, "score")):
        raise RegrowError(
            f"{path}: the shim defines neither `predictor` nor `score`; see docs/audit/shim.md."
        )
    return module


def _artifact_shim(path: Path) -> SimpleNamespace:
    """A regrow artifact as a shim: its own predictor, on the CPU."""
    import torch

    from regrow.artifact.artifact import Artifact

    torch.set_num_threads(1)
    artifact: Any = Artifact.load(path)

    return SimpleNamespace(
        predictor=lambda batch: artifact.predictor(batch, "cpu"),
        BOS_ID=artifact.tokenizer.bos_id,
        TEXT=_SAMPLE,
        tokens=lambda: artifact.tokenizer.encode(_SAMPLE),
        decode=lambda tokens: artifact.tokenizer.decode(tokens.astype(np.uint16)),
        byte_count=lambda tokens: len(_SAMPLE),
    )


def as_array(value: Any) -> np.ndarray:
    """A scorer's answer as float64, whatever library it comes from."""
    if hasattr(value, "detach"):
        value = value.detach().to("cpu").double().numpy()
    return np.ascontiguousarray(np.asarray(value, dtype=np.float64))


Arrays = dict[str, np.ndarray]
#: Plain values, and arrays.
Answer = tuple[dict[str, Any], Arrays]


class Driver:
    """Answers one question at a time about one shim: each question is a method."""

    def __init__(self, module: ModuleType | SimpleNamespace) -> None:
        self._module = module
        self._predictor: Any = None

    def answer(self, what: str, header: dict[str, Any], arrays: Arrays) -> Answer:
        """The answer to one question; `header` and `arrays` are what came with it."""
        tokens = arrays["tokens"].copy() if "tokens" in arrays else np.zeros(0, np.int64)
        module = self._module
        match what:
            case "describe":
                return self._describe()
            case "new":
                self._predictor = module.predictor(int(header["batch"]))
            case "predict":
                return {}, {"rows": as_array(self._predictor.predict())}
            case "update":
                self._predictor.update(tokens)
            case "score":
                return {}, {"nats": as_array(module.score(tokens)).reshape(-1)}
            case "distribution":
                return {}, {"rows": as_array(module.distribution(tokens)).reshape(1, -1)}
            case "byte_count":
                return {"count": int(module.byte_count(tokens))}, {}
            case "decode":
                return {}, {"text": _as_bytes(module.decode(tokens))}
            case "digest":
                return {"digest": str(module.state_digest(self._predictor))}, {}
        return {}, {}

    def _describe(self) -> Answer:
        module = self._module
        known = {
            "kind": "predictor" if hasattr(module, "predictor") else "score",
            "has": [name for name in _OPTIONAL if hasattr(module, name)],
            "vocab": getattr(module, "VOCAB_SIZE", None),
            "tolerance": getattr(module, "TOLERANCE", None),
            "document_reset": bool(getattr(module, "DOCUMENT_RESET", False)),
            "bos": getattr(module, "BOS_ID", None),
        }
        out: Arrays = {}
        if hasattr(module, "tokens"):
            out["tokens"] = np.asarray(module.tokens(), dtype=np.int64).reshape(-1)
        if hasattr(module, "TEXT"):
            out["text"] = _as_bytes(module.TEXT)
        return known, out


def _as_bytes(text: Any) -> np.ndarray:
    return np.frombuffer(text.encode() if isinstance(text, str) else bytes(text), dtype=np.uint8)

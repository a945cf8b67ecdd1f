"""EleutherAI's lm-evaluation-harness drives an artifact: `lm_eval --model regrow --model_args artifact=PATH`.

Releases after 0.4.13 find the model by the entry point in pyproject.toml; for 0.4.13 and before it is registered by

    python -m regrow.predict.lm_eval --model regrow --model_args artifact=PATH --tasks ...

which is `lm_eval` in all else. Each text is one stream that begins after BOS, and its context is as long as the text.

Legend: S texts of a batch, T tokens.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lm_eval.api.model import LM
from numpy.typing import NDArray

from regrow.artifact.artifact import Artifact
from regrow.core.dist import set_threads
from regrow.predict.lockstep import IGNORED
from regrow.predict.predictor import Predictor
from regrow.predict.sampling import draw

_BATCH_VALUES = 1 << 23  # of the rows that are held at a time: 32 MB in float32
_MAX_GEN_TOKENS = 256  # of generate_until where a task does not say


class RegrowLM(LM):  # type: ignore[misc]  # the harness has no types
    """An artifact as lm-eval asks for it. `artifact`: its path, its run's folder, or a repository of the Hugging Face
    hub. How much is computed at once follows from the artifact: lm-eval's `batch_size` and `max_batch_size` change
    nothing."""

    def __init__(
        self,
        artifact: str,
        device: str | None = None,
        batch_size: object = None,
        max_batch_size: object = None,
    ) -> None:
        super().__init__()
        set_threads()
        usable = (
            device if torch.cuda.is_available() else "cpu"
        )  # lm-eval's default is cuda:0 on every machine
        self._artifact = Artifact.from_pretrained(artifact, device=usable or "cpu")
        self._tokenizer = self._artifact.tokenizer

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each (context, continuation): nats of the continuation, negated, and whether greedy decoding gives it.

        Where a token spans the end of the context, the continuation begins with that token.
        """
        pairs = [self._pair(*request.args) for request in requests]
        costs = self._costs([tokens_T for tokens_T, _ in pairs], batched=True)
        return [
            (-math.fsum(nats_T[start:]), bool(best_T[start:].all()))
            for (_, start), (nats_T, best_T) in zip(pairs, costs, strict=True)
        ]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Of each text: its nats, negated, with all that came before as context."""
        costs = self._costs([self._encode(*request.args) for request in requests], batched=False)
        return [-math.fsum(nats_T) for nats_T, _ in costs]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The continuation of each context up to one of the strings `until`, a document's end or `max_gen_toks`."""
        return [self._generate(*request.args) for request in requests]

    def get_model_info(self) -> dict[str, Any]:
        """What identifies the artifact in lm-eval's results."""
        return {"model_sha": self._artifact.sha256, "model_bytes": self._artifact.ledger.total}

    def _encode(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.encode(text.encode("utf-8", "surrogatepass")).astype(np.int64)

    def _pair(self, context: str, continuation: str) -> tuple[NDArray[np.int64], int]:
        """The tokens of both together, and where the continuation's begin."""
        before, whole = self._encode(context), self._encode(context + continuation)
        shared = min(len(before), len(whole))
        differs = np.flatnonzero(before[:shared] != whole[:shared])
        return whole, int(differs[0]) if len(differs) else shared

    def _costs(
        self, texts: Sequence[NDArray[np.int64]], batched: bool
    ) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        """Nats of every token of each text, and whether it is the likeliest, [T] each.

        Products of other shapes are rounded in another way, so texts that are not `batched` cost to the last bit what
        `regrow eval` says of each as one stream; batches are faster.
        """
        window = self._artifact.network.window
        most = max(1, _BATCH_VALUES // self._tokenizer.vocab_size // window) if batched else 1
        found: dict[int, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for batch in (order[at : at + most] for at in range(0, len(order), most)):
            T = -(-max(1, len(texts[batch[0]])) // window) * window
            tokens_ST = np.full((len(batch), T), IGNORED, np.int64)
            for s, i in enumerate(batch):
                tokens_ST[s, : len(texts[i])] = texts[i]
            predictor = self._artifact.predictor(len(batch))
            parts = [_scored(predictor, tokens_ST[:, at : at + window]) for at in range(0, T, window)]
            nats_ST, best_ST = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
            for s, i in enumerate(batch):
                found[i] = (nats_ST[s, : len(texts[i])], best_ST[s, : len(texts[i])])
        return [found[i] for i in range(len(texts))]

    def _generate(self, context: str, settings: dict[str, Any]) -> str:
        until = settings.get("until") or []
        ends = [end.encode() for end in ([until] if isinstance(until, str) else until) if end]
        sampled = settings.get("do_sample", settings.get("temperature", 0) > 0)
        temperature = float(settings.get("temperature", 1.0)) if sampled else 0.0
        chance, drawn = random.Random(int(settings.get("seed", 0))), bytearray()
        predictor = self._artifact.predictor(1)
        tokens_T, window = self._encode(context), predictor.window
        read = len(tokens_T) // window * window  # in parallel; what is left one by one
        if read:
            predictor.score(tokens_T[None, :read])
        for token in tokens_T[read:]:
            predictor.update(token[None])
        for _ in range(int(settings.get("max_gen_toks", _MAX_GEN_TOKENS))):
            token = draw(predictor.probabilities()[0], chance, temperature, float(settings.get("top_p", 1.0)))
            if token == self._tokenizer.bos_id:
                break
            drawn += self._tokenizer.decode([token])
            stops = [at for at in (drawn.find(end) for end in ends) if at >= 0]
            if stops:
                del drawn[min(stops) :]
                break
            predictor.update(np.array([token]))
        return drawn.decode("utf-8", "replace")


def _scored(
    predictor: Predictor, tokens_ST: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    scored, rows = predictor.score_rows(tokens_ST)
    best_R = rows.mixture_RV.argmax(-1).cpu().numpy()
    return scored.mixture_ST, best_R.reshape(tokens_ST.shape) == tokens_ST


def main() -> None:
    """`lm_eval`, with the model `regrow` registered."""
    import lm_eval.models  # noqa: F401  # the harness's own, which it looks for only while it knows none
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.registry import model_registry

    model_registry.register("regrow", target="regrow.predict.lm_eval:RegrowLM")
    cli_evaluate()


if __name__ == "__main__":
    main()

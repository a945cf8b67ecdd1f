"""From text to a proven bits-per-byte, every step in turn: what `regrow demo` and `regrow fit` share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regrow.cli.runs import update_result
from regrow.core import run_folder
from regrow.core.run_folder import ARTIFACT, RESULT

if TYPE_CHECKING:
    from regrow.core.config.schema import Config
    from regrow.core.progress import Progress
    from regrow.core.results import Result
    from regrow.data.readers import ReadAs

_SHOWN = 4_000_000  # bytes of training text that are shown to other compressors too: xz takes its seconds


def run_path(
    source: str | Sequence[str],
    config: Config,
    out: Path,
    progress: Progress,
    read_as: ReadAs | None = None,
    device: str | None = None,
    adaptive_bytes: int = 0,
    fewer_tokens: bool = False,
) -> Result:
    """Every step in turn, none skipped, into `out`, but for the report; returns what was measured.

    A held-out text of at most `adaptive_bytes` is proven by the adaptive predictor too. `fewer_tokens`: a text that
    does not give the config's vocabulary has the largest that it gives.
    """
    started = time.perf_counter()
    from regrow.artifact.artifact import Artifact
    from regrow.core.config.load import apply_overrides
    from regrow.core.errors import TooFewTokens
    from regrow.core.results import Result
    from regrow.data.build import build_dataset
    from regrow.predict.evaluation import evaluate
    from regrow.predict.proof import prepare, prove
    from regrow.report.baselines import baseline_bpb
    from regrow.report.excerpt import save_excerpt
    from regrow.training.compiled import compile_ahead
    from regrow.training.needs import check_budget
    from regrow.training.trainer import train

    check_budget(config, config.data.vocab_size, tokenizer_bytes=0)
    compile_ahead(config, device)
    prepare()
    data, artifact = out / "data", out / ARTIFACT
    with run_folder.locked(out):  # not while another demo trains on it
        try:
            dataset = build_dataset(source, data, config.data, progress, read_as=read_as)
        except TooFewTokens as error:
            if not fewer_tokens:
                raise
            progress.log(
                f"the text gives a vocabulary of {error.possible} tokens, fewer than {config.data.vocab_size}"
            )
            config = apply_overrides(config, [f"data.vocab_size={error.possible}"])
            dataset = build_dataset(source, data, config.data, progress, read_as=read_as)
    read = time.perf_counter() - started
    train(config, data, out, overwrite=True, progress=progress, device=device)
    loaded = Artifact.load(artifact)
    measured = evaluate(loaded, data, stride=None, progress=progress)
    update_result(artifact, data, {"bpb": measured.bpb, "bytes": measured.bytes, "seconds": measured.seconds})
    save_excerpt(out, measured, loaded)
    update_result(artifact, data, {"proof": prove(loaded, data, progress)})
    if len(dataset.val_bytes) <= adaptive_bytes:
        update_result(artifact, data, {"proof_adaptive": prove(loaded, data, progress, adapt=True)})
    before = dataset.tokenizer.decode(dataset.train_tokens) if dataset.train_bytes <= _SHOWN else b""
    update_result(artifact, data, {"baselines": baseline_bpb(dataset.val_bytes, before)})
    # The page shows the whole time, so it is written last and its own fraction of a second is left out.
    return Result.update(out / RESULT, {"seconds": {"data": read, "total": time.perf_counter() - started}})

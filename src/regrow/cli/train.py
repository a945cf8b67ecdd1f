"""`regrow train`: a config and a data folder become a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regrow.cli.options import Device, Json, Overrides, Quiet, check_torch_fits, flag, option, resolve_config
from regrow.cli.output import bits, command_output
from regrow.cli.runs import warn_of_better_part
from regrow.core.files import check_writable
from regrow.core.run_folder import CONFIG, settle, working_folder

if TYPE_CHECKING:
    from regrow.core.results import Bpb

PIECES, PIECE_BYTES = 8, 8192  # of the held-out text, looked at once the run is packed


def command(
    data: Annotated[Path, option("DIR", "A folder made by `regrow data`.", "--data")],
    out: Annotated[Path, option("RUN", "The run's folder.", "--out")],
    preset: Annotated[
        str | None, option("NAME", "A preset, see `regrow config list`.  [default: demo]")
    ] = None,
    config: Annotated[Path | None, option("FILE", "A TOML file instead of a preset.", "--config")] = None,
    overrides: Overrides = None,
    resume: Annotated[bool, flag("Resume from the run's checkpoint, with its config.", "--resume")] = False,
    overwrite: Annotated[
        bool, flag("Replace the finished run in RUN once this one has finished.", "--overwrite")
    ] = False,
    device: Device = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a network and its memory, and pack them.

    Training ends at the first limit it meets: steps, tokens or seconds.

    Several processes: `torchrun --nproc-per-node N -m regrow train ...`
    """
    with command_output(json, quiet) as output:
        check_torch_fits()
        settle(out)
        work = working_folder(out, resume=resume, overwrite=overwrite)
        if resume and preset is None and config is None and (work / CONFIG).exists():
            config = work / CONFIG
        settings = resolve_config(preset, config, overrides)
        check_writable(out, folder=True)

        from regrow.data.dataset import Dataset
        from regrow.training.needs import check_budget

        dataset = Dataset.load(data)
        check_budget(settings, dataset.vocab_size, len(dataset.tokenizer.to_bytes()))

        from regrow.challenge.log_lines import log_writers
        from regrow.training.trainer import train

        writers = log_writers(settings, work)
        run = train(
            settings,
            data,
            out,
            resume=resume,
            overwrite=overwrite,
            progress=output.progress,
            callbacks=writers,
            device=device,
        )
        if not run.is_first:
            return
        result = run.result
        output.result(result)
        total = (result.bytes or {}).get("total", 0)
        output.line(f"steps     {result.steps}, {result.train_tokens_seen:,} tokens")
        if settings.memory.kind != "none" and settings.pack.keep != "best" and not quiet:
            bpb = _sample_bpb(run.artifact, dataset.val_bytes)
            parts = f"network alone {bits(bpb.neural)}, memory alone {bits(bpb.memory)}"
            output.line(
                f"mixture   {bits(bpb.blended)} bits per byte of a sample of the held-out text; {parts}"
            )
            warn_of_better_part(bpb, output.progress)
        output.line(f"artifact  {run.artifact}, {total:,} bytes")


def _sample_bpb(artifact: Path, text: bytes) -> Bpb:
    """Bits per byte of pieces from all over the held-out text: enough to see that a part alone is better."""
    from regrow.predict.evaluation import evaluate

    step = max(1, len(text) // PIECES)
    return evaluate(artifact, b"".join(text[at : at + PIECE_BYTES] for at in range(0, len(text), step))).bpb

"""`regrow fit`: one's own text becomes a model, proven, in one command."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regrow.cli.data import AsKind, TextField
from regrow.cli.options import Device, Json, Overrides, Quiet, argument, check_torch_fits, flag, option
from regrow.cli.output import bits, command_output
from regrow.cli.whole_path import run_path
from regrow.core.errors import ConfigError, DataError, ProofError
from regrow.core.files import check_writable, utf8
from regrow.core.folders import new_folder
from regrow.core.processes import Terminated
from regrow.core.quantities import parse_bytes, parse_seconds
from regrow.core.run_folder import ARTIFACT, REPORT, RESULT

if TYPE_CHECKING:
    from regrow.core.results import Result

_RUN_FILES = {ARTIFACT, REPORT, RESULT}  # what tells a model of this command from any other folder


def command(
    texts: Annotated[list[str], argument("TEXT...", "Text, JSONL or Parquet files, or folders of them.")],
    out: Annotated[Path, option("MODEL", "The folder to make.", "--out", "-o")],
    budget: Annotated[str, option("SIZE", "What the model may take: 4MB, 500kB.", "--budget")] = "4MB",
    minutes: Annotated[str, option("TIME", "About how long it may take: 10, 90s, 1.5h.", "--minutes")] = "10",
    force: Annotated[bool, flag("Replace the model that is there.", "--force", "-f")] = False,
    read_as: AsKind = None,
    text_field: TextField = "text",
    overrides: Overrides = None,
    device: Device = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a model of your own text.

    Data, training, packing, proof and report in one command. A tenth of the bytes is held out; it says when the network
    has learned enough, and whether network, memory or both are worth their bytes.

    MODEL appears as a whole, with MODEL/artifact.safetensors and MODEL/report.html, or not at all.
    """
    with command_output(json, quiet) as output:
        check_torch_fits()
        size, seconds = parse_bytes(budget, "--budget"), parse_seconds(minutes, "--minutes", unit="m")
        _check_place(out, force)
        from regrow.core.config.load import apply_overrides
        from regrow.core.config.sizing import adaptive_bytes, fit_config
        from regrow.data.readers import ReadAs
        from regrow.data.sources import source_bytes
        from regrow.report.page import write_report
        from regrow.report.run_files import load_runs
        from regrow.training.needs import least_budget

        config = fit_config(source_bytes(texts), size, seconds)
        if overrides:
            config = apply_overrides(config, overrides)
        elif size < (least := least_budget(config, config.data.vocab_size, 3 * config.data.vocab_size)):
            raise ConfigError(
                f"--budget {budget}: is too small for the smallest network with its tokenizer; give at least "
                f"--budget {-(-least // 1000)}kB."
            )
        how = ReadAs(read_as and read_as.value, utf8(text_field))
        try:
            with new_folder(out) as making:
                result = run_path(
                    texts, config, making, output.progress, how, device, adaptive_bytes(seconds),
                    fewer_tokens=not any("data.vocab_size" in one for one in overrides or []),
                )  # fmt: skip
                proofs = [result.proof, *([result.proof_adaptive] if result.proof_adaptive else [])]
                if not all(proof is not None and proof.sha256_match for proof in proofs):
                    raise ProofError(f"{out}: the decoded text is not the encoded text; nothing was written.")
                # The page names the folder as it will be.
                (run,) = (dataclasses.replace(run, name=out.name, folder=out) for run in load_runs([making]))
                write_report(run, making / REPORT)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"{out}: interrupted; nothing was written") from interrupt
        except Terminated as ended:
            raise Terminated(ended.number, f"{out}: ended by a signal; nothing was written") from ended
        output.result(result)
        output.line(paragraph(result))
        output.line(f"model   {out / ARTIFACT}")
        output.line(f"report  {out / REPORT}")


def _check_place(out: Path, force: bool) -> None:
    """Nothing but an earlier model is replaced, and that only when asked for."""
    if os.path.lexists(out):
        if not out.is_dir() or out.is_symlink() or not all((out / name).is_file() for name in _RUN_FILES):
            raise DataError(f"{out}: is there, and is no model of regrow fit; choose another place with -o.")
        if not force:
            raise DataError(
                f"{out}: is there already; give -f to replace it, or choose another place with -o."
            )
    check_writable(out, folder=True)


def paragraph(result: Result) -> str:
    """What was done and how good it is, for people."""
    data, parts, proof = result.data, result.bytes or {}, result.proof
    assert proof is not None
    others = {name: value for name, value in (result.candidates or {}).items() if name != result.kept}
    kept = {"mixture": "Network and memory are kept", "memory": "The memory alone is kept"}.get(
        result.kept or "mixture", "The network alone is kept"
    )
    beside = ", ".join(
        f"the {name} {'alone ' if name != 'mixture' else ''}{bits(v)}" for name, v in others.items()
    )
    baselines = ", ".join(f"{name} {bits(value)}" for name, value in (result.baselines or {}).items())
    total = data.train_bytes + data.val_bytes
    return (
        f"Trained on {data.train_bytes:,} bytes of {data.name} and judged on the other {data.val_bytes:,} "
        f"({100 * data.val_bytes / total:.1f} %). {kept}"
        + (
            f" ({bits(result.candidates[result.kept])} bits per byte; {beside})"
            if result.candidates and result.kept
            else ""
        )
        + f", in {parts.get('total', 0):,} of {parts.get('budget', 0):,} bytes. The held-out text was compressed to "
        f"{proof.stream_bytes:,} bytes and decoded again: {bits(proof.bpb)} bits per byte, proven. {_adaptive(result)}"
        f"The same text with {baselines}."
    )


def _adaptive(result: Result) -> str:
    """What going on learning from the text itself gives."""
    proof = result.proof_adaptive
    if proof is None:
        return ""
    return f"With --ttt, which learns from the text while it is coded: {bits(proof.bpb)}, proven too. "

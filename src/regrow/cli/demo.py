"""`regrow demo`: the whole path on the packaged corpus, from text to a proven bits-per-byte."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regrow.cli.options import Json, Overrides, Quiet, check_torch_fits, option, resolve_config
from regrow.cli.output import bits, command_output
from regrow.cli.whole_path import run_path
from regrow.core import run_folder
from regrow.core.errors import ConfigError, ProofError, RegrowError
from regrow.core.files import check_writable
from regrow.core.run_folder import ARTIFACT

if TYPE_CHECKING:
    from regrow.core.results import Result


def command(
    out: Annotated[Path, option("DIR", "The run's folder.", "--out")] = Path("runs/demo"),
    overrides: Overrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the whole path on the packaged corpus.

    Data, train, pack, eval, prove and report on the State of the Union addresses. Takes about five minutes
    on two CPU cores, and ends with the proven bits per byte and the path of the report.
    """
    with command_output(json, quiet) as output:
        check_torch_fits()
        check_writable(out, folder=True)
        run_folder.settle(out)
        _check_own(out)
        result = run_path("sotu", resolve_config("demo", None, overrides), out, output.progress)
        from regrow.report.page import write_report

        page = write_report([out], None)
        output.result(result)
        output.table(figures(result), columns=("what", "measured", "to reach"))
        output.line("")
        output.table(account(result), columns=("where the time went", "seconds"))
        output.line("")
        others = [(name, bits(bpb)) for name, bpb in (result.baselines or {}).items()]
        output.table(others, columns=("the same text with", "bits per byte"))
        output.line("")
        if result.proof is None or not result.proof.sha256_match:
            raise ProofError(
                f"{out / ARTIFACT}: the decoded text is not the encoded text; nothing is proven."
            )
        output.line(f"proven  {result.proof.bpb:.4f} bits per byte")
        output.line(f"report  {page}")


def _check_own(out: Path) -> None:
    """The demo replaces its own run and no other. Raises ConfigError."""
    from regrow.core.config.load import load_config

    if not run_folder.is_finished(out):
        return
    preset = None
    with contextlib.suppress(RegrowError):
        preset = load_config(out / run_folder.CONFIG).preset
    if preset != "demo":
        raise ConfigError(f"{out}: holds a run that is not the demo's; choose another --out.")


def figures(result: Result) -> list[tuple[str, str, str]]:
    """What was measured beside what the demo sets out to reach; a dash is something that was not run."""
    bpb, seconds, proof, parts = result.bpb, result.seconds, result.proof, result.bytes or {}
    proven = proof.bpb if proof else None
    rows = [
        ("proven bits per byte", bits(proven), "1.22, better 1.17"),
        ("  as evaluated", bits(bpb.blended), ""),
        ("  proven over evaluated", _percent(proven, bpb.blended, less=1), "within 0.2 %"),
        ("network alone", bits(bpb.neural), ""),
        ("  int8 round trip", _gap(bpb.neural, bpb.neural_unquantized), "at most +0.003"),
        ("memory alone", bits(bpb.memory), ""),
        ("artifact, bytes", f"{parts.get('total', 0):,}", f"{parts.get('budget', 0):,}"),
        ("max abs(sum p - 1)", f"{proof.max_abs_row_sum_error:.1e}" if proof else "-", "1e-06"),
        ("counting, of training time", _percent(seconds.memory_count, seconds.train), "2 %"),
        ("scoring by memory, of training time", _percent(seconds.memory_score, seconds.train), "10 %"),
        ("loading, seconds", "-" if seconds.load is None else f"{seconds.load:.1f}", "5"),
        ("the whole demo, seconds", "-" if seconds.total is None else f"{seconds.total:.0f}", "300"),
    ]
    return rows


def account(result: Result) -> list[tuple[str, str]]:
    """Where the seconds of the whole demo went; what is left over is imports and files."""
    took, proof = result.seconds, result.proof
    parts = [
        ("reading and tokenising", took.data),
        ("counting n-grams", took.memory_count),
        ("compiling, first steps", took.warm_up),
        ("training", took.train),
        ("scoring before quantisation", took.score),
        ("packing", took.pack),
        ("loading", took.load),
        ("evaluating", took.eval),
        ("encoding", proof.encode_seconds if proof else None),
        ("decoding", proof.decode_seconds if proof else None),
    ]
    rest = (took.total or 0.0) - sum(spent or 0.0 for _, spent in parts)
    return [
        (name, "-" if spent is None else f"{spent:.1f}")
        for name, spent in [*parts, ("all else", rest), ("together", took.total)]
    ]


def _percent(part: float | None, whole: float | None, less: float = 0.0) -> str:
    return "-" if part is None or not whole else f"{100 * (part / whole - less):.2f} %"


def _gap(after: float | None, before: float | None) -> str:
    return "-" if after is None or before is None else f"{after - before:+.4f}"

"""`regrow prove`: the held-out text is really compressed, and decoded back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from regrow.cli.options import (
    AnyArtifact,
    EvalOverrides,
    HeldOut,
    Json,
    Quiet,
    check_torch_fits,
    flag,
    option,
    refuse_settings,
)
from regrow.cli.output import Output, command_output
from regrow.cli.runs import check_run, refresh_report, update_result
from regrow.core.errors import ConfigError, ProofError
from regrow.core.results import Proof


def command(
    data: HeldOut,
    artifact: AnyArtifact = None,
    model: Annotated[
        str | None,
        option(
            "hf:FOLDER", "A Hugging Face causal language model instead of an artifact, on this machine alone."
        ),
    ] = None,
    streams: Annotated[
        int | None,
        option(
            "N",
            "With --model: pieces of the text side by side; faster, but each begins cold.  [default: 1]",
            min=1,
            max=10**9,
        ),
    ] = None,
    ttt: Annotated[bool, flag("Prove the adaptive predictor (test-time training).", "--ttt")] = False,
    settings: EvalOverrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prove a score by compressing and decoding.

    Held-out text is encoded, decoded in a fresh process from artifact and stream alone, and compared; the
    bits really spent are printed. With --ttt the predictor also trains on what it has coded, as [eval] of
    the artifact's config says, and the decoder repeats every step of it. Given a run's artifact and data,
    also updates the run's result.json.

    With --model the rows of a Hugging Face model (pip install transformers) are coded and decoded the same way.

    Several processes: `torchrun --nproc-per-node N -m regrow prove ...`; each proves a piece of the text, except
    with --ttt.
    """
    refuse_settings(settings, ttt)
    if (artifact is None) == (model is None):
        raise ConfigError("regrow prove: give an ARTIFACT or --model hf:FOLDER, one of them.")
    if model is None and streams is not None:
        raise ConfigError(
            "--streams: is for --model; how an artifact codes a text is fixed by the stream's format."
        )
    if model is not None and ttt:
        raise ConfigError("--ttt: is for artifacts; leave it out, or give an artifact instead of --model.")
    with command_output(json, quiet) as output:
        check_torch_fits()
        if model is not None:
            _prove_model(model, data, streams or 1, output)
            return
        assert artifact is not None
        check_run(artifact)
        from regrow.core.dist import process_group
        from regrow.predict.proof import prove

        with process_group(output.progress.log) as group:
            if ttt and not group.is_first:
                return  # one text, learned from in its order: there is nothing to deal out
            proof = prove(
                artifact, data, output.progress if group.is_first else None, adapt=ttt and (settings or True),
                group=None if ttt else group,
            )  # fmt: skip
        if not group.is_first:
            return
        updated = update_result(artifact, data, {"proof_adaptive" if ttt else "proof": proof})
        _show(proof, output, {})
        if updated is not None:
            refresh_report(updated.parent)
            output.line(f"updated {updated}")
        _check(proof, str(artifact))
        output.line(f"proven  {proof.bpb:.4f} bits per byte")


def _prove_model(model: str, data: Path, streams: int, output: Output) -> None:
    from regrow.predict.model_proof import prove_model

    proof = prove_model(model, data, output.progress, streams=streams)
    _show(proof, output, {"model": model})
    _check(proof, model)
    output.line(f"proven  {proof.bpb:.4f} bits per byte, on this machine")
    output.line(
        "Not proven: that another machine, library or number of threads gives these floats, so that it could decode "
        "the stream; and the model's own size is not counted."
    )


def _show(proof: Proof, output: Output, more: dict[str, str]) -> None:
    # The part by its name, as in result.json, and its keys beside it for those who asked for this part alone.
    output.result({"proof": proof, **msgspec.structs.asdict(proof), **more})
    output.table(
        [
            ("predictor", proof.track),
            ("stream", f"{proof.stream_bytes:,} bytes"),
            ("text", f"{proof.raw_bytes:,} bytes"),
            ("max abs(sum p - 1)", f"{proof.max_abs_row_sum_error:.1e}"),
            ("encoding", f"{proof.encode_seconds:.1f} s"),
            ("decoding in a fresh process", f"{proof.decode_seconds:.1f} s"),
        ]
    )


def _check(proof: Proof, what: str) -> None:
    if not proof.sha256_match:
        raise ProofError(f"{what}: the decoded text is not the encoded text; nothing is proven.")

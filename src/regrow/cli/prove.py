"""`regrow prove`: the held-out text is really compressed, and decoded back."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from regrow.cli.options import ArtifactFile, EvalOverrides, HeldOut, Json, Quiet, refuse_settings
from regrow.cli.output import command_output
from regrow.cli.runs import update_result
from regrow.core.errors import ProofError


def command(
    artifact: ArtifactFile,
    data: HeldOut,
    ttt: Annotated[
        bool, typer.Option("--ttt", help="Prove the adaptive predictor (test-time training).")
    ] = False,
    settings: EvalOverrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prove a score by compressing and decoding.

    Held-out text is encoded, decoded in a fresh process from artifact and stream alone, and compared; the
    bits really spent are printed. With --ttt the predictor also trains on what it has coded, as [eval] of
    the artifact's config says, and the decoder repeats every step of it. Given a run's artifact and data,
    also updates the run's result.json.

    Several processes: `torchrun --nproc-per-node N -m regrow prove ...`; each proves a piece of the text, except
    with --ttt.
    """
    refuse_settings(settings, ttt)
    with command_output(json, quiet) as output:
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
        # The part by its name, as in result.json, and its keys beside it for those who asked for this part alone.
        output.result({"proof": proof, **msgspec.structs.asdict(proof)})
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
        if updated is not None:
            output.line(f"updated {updated}")
        if not proof.sha256_match:
            raise ProofError(f"{artifact}: the decoded text is not the encoded text; nothing is proven.")
        output.line(f"proven  {proof.bpb:.4f} bits per byte")

"""`regrow eval`: bits per byte on held-out text, with its parts."""

from __future__ import annotations

from typing import Annotated

from regrow.cli.options import (
    ArtifactFile,
    EvalOverrides,
    HeldOut,
    Json,
    Quiet,
    check_torch_fits,
    flag,
    option,
    refuse_settings,
)
from regrow.cli.output import bits, command_output
from regrow.cli.runs import check_run, refresh_report, update_result, warn_of_better_part


def command(
    artifact: ArtifactFile,
    data: HeldOut,
    stride: Annotated[
        int | None,
        option(
            "N",
            "Tokens scored per window; 0 for the whole window.  [default: the config's]",
            min=0,
            max=10**9,
        ),
    ] = None,
    ttt: Annotated[bool, flag("Also score with test-time training on text already scored.", "--ttt")] = False,
    settings: EvalOverrides = None,
    reset_at: Annotated[
        str | None, option("TEXT", r"Reset the context after every TEXT (such as \f), which ends a document.")
    ] = None,
    official_bytes: Annotated[
        bool, flag("Also parameter-golf's own byte count.", "--official-bytes")
    ] = False,
    device: Annotated[
        str | None, option("cpu|cuda|cuda:N", "Where the network computes.  [default: cpu]")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score held-out text, by part.

    With --ttt also by the adaptive predictor, which trains on the text it has scored, as [eval] of the artifact's
    config says. Given a run's artifact and data, also updates the run's result.json.

    Several processes: `torchrun --nproc-per-node N -m regrow eval ...`
    """
    refuse_settings(settings, ttt)
    check_run(artifact)
    with command_output(json, quiet) as output:
        check_torch_fits()
        from regrow.artifact.artifact import Artifact
        from regrow.challenge.official_bytes import official_bpb
        from regrow.core.dist import process_group
        from regrow.predict.evaluation import evaluate

        with process_group(output.progress.log, device) as group:
            measured = evaluate(
                loaded := Artifact.load(artifact, group.device),
                data,
                stride=stride,
                reset_at=separator(reset_at),
                adapt=ttt and (settings or True),
                official=official_bpb if official_bytes else None,
                progress=output.progress if group.is_first else None,
                group=group,
            )
        if not group.is_first:
            return
        parts = {"bpb": measured.bpb, "bytes": measured.bytes}
        # Sliding windows and documents answer another question than the proof's streams do; result.json holds those.
        elsewhere = bool(stride) or reset_at is not None
        updated = None if elsewhere else update_result(artifact, data, {**parts, "seconds": measured.seconds})
        seconds = {"eval": measured.seconds.eval, "ttt": measured.seconds.ttt}
        output.result({**parts, "seconds": seconds, "tokens": measured.tokens})
        rows = [
            ("network", measured.bpb.neural, None), ("memory", measured.bpb.memory, None),
            ("mixture", measured.bpb.blended, measured.seconds.eval),
        ]  # fmt: skip
        if official_bytes:
            rows.append(("mixture, official byte count", measured.bpb.official_bytes, None))
        if ttt:
            rows.append(("adaptive", measured.bpb.ttt, measured.seconds.ttt))
        output.table(
            [
                (
                    name,
                    bits(value),
                    *(("", "") if not took else (f"{took:.1f}", f"{measured.tokens / took:,.0f}")),
                )
                for name, value, took in rows
            ],
            columns=("predictor", "bits per byte", "seconds", "tokens/s"),
        )
        warn_of_better_part(measured.bpb, output.progress)
        if updated is not None:
            from regrow.report.excerpt import save_excerpt

            save_excerpt(updated.parent, measured, loaded)
            refresh_report(updated.parent)
            output.line(f"updated {updated}")


def separator(text: str | None) -> bytes | None:
    """The bytes that `--reset-at` means: the usual escapes (such as a backslash and f) stand for their characters."""
    if text is None:
        return None
    for written, meant in ((r"\f", "\f"), (r"\n", "\n"), (r"\t", "\t"), (r"\0", "\0")):
        text = text.replace(written, meant)
    return text.encode("utf-8", "surrogateescape")

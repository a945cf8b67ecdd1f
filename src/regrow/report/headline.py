"""What stands at the top of the page: one figure a run, what it means, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.core.results import Result
from regrow.report.formats import NOT_RUN, bits, count, percent, seconds, size
from regrow.report.run_files import RunFiles


@dataclass(frozen=True)
class Headline:
    """A run's figure: `state` is proven, failed, evaluated or nothing; `sentence` says what it means, `command` what
    comes next, if anything; `compressed_percent`: the stream's size in percent of the text's, once proven."""

    name: str
    preset: str
    seed: int
    state: str
    figure: str
    label: str
    sentence: str
    command: str
    compressed_percent: float | None
    facts: list[tuple[str, str, str]]


def headline(run: RunFiles) -> Headline:
    """The proven figure, or what there is instead of it and how to get there."""
    result, proof = run.result, run.result.proof
    artifact = f"{run.folder}/artifact.safetensors --data DIR"
    compressed = None
    if proof is not None and proof.sha256_match:
        state, figure, label, command = "proven", bits(proof.bpb), "bits per byte, proven", ""
        compressed = 100 * proof.stream_bytes / proof.raw_bytes if proof.raw_bytes else None
        sentence = (
            f"The {proof.raw_bytes:,} bytes of held-out text were compressed to {proof.stream_bytes:,} "
            f"bytes, {percent(proof.stream_bytes, proof.raw_bytes)} of their size, and a fresh process that "
            "was given only the artifact and that stream decoded every byte of them."
        )
    elif proof is not None:
        state, figure, label = "failed", "not proven", "the proof failed"
        command = f"regrow prove {artifact}"
        sentence = "The decoded text is not the text that was encoded, so nothing about this run is proven."
    elif result.bpb.blended is not None:
        state, figure, label = "evaluated", bits(result.bpb.blended), "bits per byte, evaluated only"
        command = f"regrow prove {artifact}"
        sentence = (
            "The mixture of network and memory, as evaluated on the held-out text. It has not been proven by decoding "
            "yet."
        )
    else:
        state, figure, label = "nothing", NOT_RUN, "bits per byte"
        command, sentence = f"regrow eval {artifact}", "The held-out text has not been scored yet."
    facts = _facts(result)
    return Headline(
        run.name, result.preset, result.seed, state, figure, label, sentence, command, compressed, facts
    )


def _facts(result: Result) -> list[tuple[str, str, str]]:
    parts, proof, speed = result.bytes or {}, result.proof, result.tokens_per_second
    total, budget, seen = parts.get("total"), parts.get("budget"), result.train_tokens_seen
    return [
        ("artifact", NOT_RUN if total is None else size(total), f"of {budget:,} allowed" if budget else ""),
        ("training", seconds(result.seconds.train, minutes=False), f"{result.steps:,} steps"),
        (
            "tokens trained on",
            f"{seen / 1e6:.2f} M" if seen >= 1e6 else count(seen),
            f"{count(speed)} per second" if speed else "",
        ),
        (
            "decoding",
            seconds(proof.decode_seconds if proof else None, minutes=False),
            "in a fresh process" if proof else "",
        ),
    ]

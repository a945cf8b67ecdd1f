"""The model card of an artifact: README.md of a repository on the Hugging Face hub, made from what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from regrow.artifact.stored import StoredArtifact
from regrow.core.results import Result

_BPB = "bits per byte"


def model_card(stored: StoredArtifact, result: Result | None, repository: str | None = None) -> str:
    """Front matter and a page: figures, size by component, how to use it, how it was trained. `repository`: where it
    will be found (None: a folder). What was not measured is not told; without a `result` there are no figures."""
    name = repository or Path(stored.source).resolve().parent.name
    place = repository or "FOLDER"
    parts = [(component, f"{n:,}") for component, n in stored.ledger.parts().items() if n]
    sections = [
        _front_matter(name, result),
        f"# {name.rpartition('/')[2]}\n\nA language model in one file of {stored.ledger.total:,} bytes, tokenizer "
        f"included, made with regrow: {_what(stored)}. Its vocabulary is {stored.vocab_size:,} tokens, and any bytes "
        "are text to it.",
        *([] if result is None else [_figures(result)]),
        "## Use\n\n"
        f'```python\nimport regrow\n\nartifact = regrow.Artifact.from_pretrained("{place}")\n'
        'stream = regrow.compress(artifact, b"any bytes")\n'
        'assert regrow.decompress(artifact, stream) == b"any bytes"\n```\n\n'
        "`regrow sample`, `eval`, `prove`, `compress` and `decompress` take the file `artifact.safetensors`.",
        "## Size\n\n" + _table(("component", "bytes"), [*parts, ("total", f"{stored.ledger.total:,}")]),
        *([] if result is None else [_training(result)]),
        f"SHA-256 of the artifact: `{stored.sha256}`. Its config is inside: `regrow inspect artifact.safetensors`.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(name: str, result: Result | None) -> str:
    """YAML, of which JSON's strings and lists are a part."""
    lines = [
        "---",
        "library_name: regrow",
        "pipeline_tag: text-generation",
        "tags: [regrow, language-model, compression, bits-per-byte]",
    ]
    measured = [] if result is None else _measured(result)
    if result is not None and measured:
        metrics = [{"type": "bits_per_byte", "name": what, "value": value} for what, value in measured]
        dataset = {"name": result.data.name, "type": result.data.name}
        results = [{"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}]
        index = [{"name": name.rpartition("/")[2], "results": results}]
        lines.append(f"model-index: {json.dumps(index)}")
    return "\n".join([*lines, "---"])


def _what(stored: StoredArtifact) -> str:
    model, memory = stored.config.model, stored.config.memory
    parts = []
    if model.n_layer:
        parts.append(f"a transformer of {model.n_layer} layers, {model.d_model} wide")
    if stored.payloads["memory"]:
        parts.append(f"an n-gram memory of order {memory.max_order}")
    return " and ".join(parts)


def _measured(result: Result) -> list[tuple[str, float]]:
    """What was measured of the held-out text, in bits per byte, the proven first."""
    proofs = [
        (f"{_BPB}, proven by decoding{' (adaptive)' if proof.track == 'adaptive' else ''}", proof.bpb)
        for proof in (result.proof, result.proof_adaptive)
        if proof is not None and proof.sha256_match
    ]
    parts = [
        (f"{_BPB}, mixture", result.bpb.blended),
        (f"{_BPB}, network alone", result.bpb.neural),
        (f"{_BPB}, memory alone", result.bpb.memory),
    ]
    return [*proofs, *((what, value) for what, value in parts if value is not None)]


def _figures(result: Result) -> str:
    rows = [(what.removeprefix(f"{_BPB}, "), f"{value:.4f}") for what, value in _measured(result)]
    return (
        "## Figures\n\n"
        f"On {result.data.val_bytes:,} bytes of held-out text of {result.data.name} (SHA-256 "
        f"`{result.data.val_sha256}`), its bytes counted before tokenising.\n\n"
        + _table(("predictor", _BPB), rows)
    )


def _training(result: Result) -> str:
    seconds = f" in {result.seconds.train:,.0f} seconds" if result.seconds.train is not None else ""
    return (
        f"## Training\n\nPreset `{result.preset}`, seed {result.seed}: {result.steps:,} steps and "
        f"{result.train_tokens_seen:,} tokens{seconds} on {result.device}, of a text of {result.data.train_bytes:,} "
        "bytes."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---", "---:"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""The record folder: README.md, submission.json, a log of each seed, `train_gpt.py` and requirements.txt."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from regrow.challenge.facts import RECORD_STEP_NATS
from regrow.challenge.log_lines import is_challenge_text, val_loss, whole_log
from regrow.challenge.significance import bytes_per_token, one_sided_p, record_bar
from regrow.challenge.submit.bundle import REQUIREMENTS, SCRIPT, bundle
from regrow.challenge.submit.rules import SeedRun, artifact_budget, broken_rules, read_run, train_seconds
from regrow.core.config.load import apply_overrides, config_toml
from regrow.core.errors import ConfigError, DataError, RuleError
from regrow.core.files import atomic_write_bytes, atomic_write_text
from regrow.training.log import read_records

README, CLAIMS = "README.md", "submission.json"


@dataclass(frozen=True)
class Author:
    """Who submits, and in which words."""

    author: str = "unknown"
    github_id: str = "unknown"
    name: str = ""
    blurb: str = ""
    date: str = ""


@dataclass(frozen=True)
class Submission:
    """What was made: the folder, submission.json as a mapping, and the bytes that the cap leaves for the artifact."""

    folder: Path
    claims: dict[str, Any]
    artifact_budget: int


def submit(
    runs: Sequence[Path],
    out: Path,
    author: Author | None = None,
    *,
    baseline: float | None = None,
    track: str = "non-record",
) -> Submission:
    """Make the record folder `out` from runs of several seeds.

    `baseline`: bits per byte, on the same text, of what this is to be better than. The p-value is of a one-sided
    one-sample t-test that the seeds' mean lies below the baseline less the nats per token that a record needs
    (`facts.RECORD_STEP_NATS`); with one run, or without a baseline, there is none. Raises RuleError with every rule
    that is not met, DataError for a run whose files are not there and for an `out` that holds something else. Nothing
    is written then.
    """
    author = author or Author()
    if baseline is not None and not 0 < baseline < math.inf:  # NaN is neither
        raise ConfigError(f"--baseline {baseline}: is no figure in bits per byte; give one such as 1.2244.")
    _check_out(out)
    found = [read_run(Path(run)) for run in runs]
    if not found:
        raise DataError("no runs are given; give the folders of runs of several seeds.")
    found.sort(key=lambda run: run.seed)
    config = apply_overrides(found[0].config, [])
    name = author.name or f"regrow {config.preset}: seeded {config.model.seeded}, memory {config.memory.kind}"
    title = f"{name}. Made by regrow submit; one config, seeds {', '.join(str(run.seed) for run in found)}."
    made = bundle(config_toml(config), title.replace('"""', "'''").replace("\\", "/"))
    code_bytes = made.code_bytes
    broken = broken_rules(found, code_bytes, track == "record")
    if broken:
        raise RuleError(f"{out}: is not made, {'; '.join(broken)}.")
    claims = _claims(found, code_bytes, author, name, baseline, track)
    logs = {
        f"train_seed{run.seed}.log": whole_log(run.config, read_records(run.folder), run.result, code_bytes)
        for run in found
    }
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("train_seed*.log"):
        old.unlink()
    for file, text in logs.items():
        atomic_write_text(out / file, text)
    atomic_write_text(out / SCRIPT, made.script)
    atomic_write_text(out / REQUIREMENTS, made.requirements)
    atomic_write_bytes(out / CLAIMS, msgspec.json.format(msgspec.json.encode(claims), indent=2) + b"\n")
    atomic_write_text(out / README, _readme(found, claims))
    return Submission(out, claims, artifact_budget(code_bytes))


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; choose a folder with --out.")
    mine = {README, CLAIMS, SCRIPT, REQUIREMENTS}
    entries = sorted(entry.name for entry in out.iterdir()) if out.exists() else []
    strange = [
        e for e in entries if e not in mine and not (e.startswith("train_seed") and e.endswith(".log"))
    ]
    if strange:
        raise DataError(
            f"{out}: holds {strange[0]}, which is not of a submission; choose another with --out."
        )


def _claims(
    runs: Sequence[SeedRun], code_bytes: int, author: Author, name: str, baseline: float | None, track: str
) -> dict[str, Any]:
    figures = [_blended(run) for run in runs]
    mean = statistics.fmean(figures)
    claims: dict[str, Any] = {
        "author": author.author,
        "github_id": author.github_id,
        "name": name,
        "blurb": author.blurb or _blurb(runs[0]),
        "date": author.date or datetime.datetime.now(datetime.UTC).date().isoformat(),
        "track": {"record": "10min_16mb", "non-record": "non_record_16mb"}[track],
        "val_loss": statistics.fmean(val_loss(run.result) for run in runs),
        "val_bpb": mean,
        "val_bpb_std": statistics.stdev(figures) if len(figures) > 1 else None,
        "proven_bpb": statistics.fmean(_proven(run) for run in runs),
        "bytes_total": max(run.artifact_bytes for run in runs) + code_bytes,
        "bytes_code": code_bytes,
        "bytes_model": max(run.artifact_bytes for run in runs),
        "seeds": [run.seed for run in runs],
        "seed_results": {
            str(run.seed): {
                "val_loss": val_loss(run.result),
                "val_bpb": _blended(run),
                "proven_bpb": _proven(run),
                "bytes_model": run.artifact_bytes,
                "steps": run.result.steps,
                "train_seconds": round(train_seconds(run), 3),
            }
            for run in runs
        },
        "held_out_text": {"name": runs[0].result.data.name, "bytes": runs[0].result.data.val_bytes,
                          "sha256": runs[0].result.data.val_sha256},
        "device": runs[0].result.device,
        "world_size": runs[0].result.world_size,
    }  # fmt: skip
    if baseline is not None:
        claims["baseline_bpb"] = baseline
        claims["p_value"] = p_value(figures, baseline, claims["val_loss"], mean)
    return claims


def p_value(figures: Sequence[float], baseline: float, loss: float, mean: float) -> float | None:
    """P of the one-sided test described at `submit`; None for fewer than two figures, or figures without any spread.

    `loss` and `mean`: nats per token and bits per byte of the same evaluation, which tell bytes per token.
    """
    if len(figures) < 2:
        return None
    return one_sided_p(list(figures), record_bar(baseline, bytes_per_token(loss, mean)))


def _blended(run: SeedRun) -> float:
    assert run.result.bpb.blended is not None, "the rules ask for it"
    return run.result.bpb.blended


def _proven(run: SeedRun) -> float:
    assert run.result.proof is not None, "the rules ask for it"
    return run.result.proof.bpb


def _blurb(run: SeedRun) -> str:
    m, memory = run.config.model, run.config.memory
    frozen = {
        "all": "all matrices frozen, regenerated from a seed",
        "mlp": "MLP matrices frozen, regenerated from a seed",
        "none": "all trained",
    }
    stored = (
        "no n-gram memory" if memory.kind == "none" else f"an exact n-gram memory of order {memory.max_order}"
    )
    return (
        f"{m.n_layer} layers, {m.d_model} wide, {frozen[m.seeded]}, adapters of rank {m.r}; {stored}; one normalised "
        "distribution per token, proven by compressing the held-out text and decoding it in a fresh process."
    )


def _readme(runs: Sequence[SeedRun], claims: dict[str, Any]) -> str:
    data = runs[0].result.data
    if is_challenge_text(data.val_bytes):
        text = f"the challenge's validation text ({data.val_bytes:,} bytes, SHA-256 `{data.val_sha256}`)"
    else:
        text = (
            f"`{data.name}` ({data.val_bytes:,} bytes, SHA-256 `{data.val_sha256}`), which is **not the challenge's "
            "validation text**: the figure compares with others on this text alone"
        )
    rows = "\n".join(
        f"| {run.seed} | {val_loss(run.result):.5f} | {_blended(run):.5f} | {_proven(run):.5f} | "
        f"{run.artifact_bytes:,} | {run.result.steps} | {train_seconds(run):.0f} |"
        for run in runs
    )
    if len(runs) == 1:
        test = "One seed was run, so there is no deviation and no p-value."
    else:
        test = f"Mean {claims['val_bpb']:.5f}, standard deviation {claims['val_bpb_std']:.5f} over {len(runs)} seeds."
        if claims.get("p_value") is not None:
            test += (
                f" One-sided t-test of the mean against {claims['baseline_bpb']:.4f} less the {RECORD_STEP_NATS:g} "
                f"nats per token that a record needs: p = {claims['p_value']:.3g}."
            )
        elif "baseline_bpb" in claims:
            test += " The seeds do not differ, so a t-test says nothing."
        else:
            test += " No baseline was named, so nothing was tested."
    return f"""# {claims["name"]}

{claims["blurb"]}

Scored on {text}.

| seed | val_loss | val_bpb | proven bpb | model, bytes | steps | training, s |
| --- | --- | --- | --- | --- | --- | --- |
{rows}

{test}

- **Bits per byte** are bits over the bytes of the raw held-out text, counted before tokenising. `proven bpb` is what
  the text really came to, compressed to a stream that a fresh process decoded from model and stream alone.
- **Bytes**: {claims["bytes_model"]:,} of model + {claims["bytes_code"]:,} of code (`train_gpt.py` as it lies here) =
  {claims["bytes_total"]:,}.
- **Training time** is the trainer's clock, which begins after two steps and holds neither validation nor packing,
  and the seconds in which text was counted before it began.
- Ran on `{claims["device"]}`, {claims["world_size"]} process(es), torch {runs[0].result.torch}. Sums in another order
  give other last digits, so another machine reproduces the figure closely, this one exactly where steps bound the run.

## Run it

```
pip install -r requirements.txt
python train_gpt.py --data DATA --seed {runs[0].seed} --out RUN --prove
python train_gpt.py unpack SOURCES
```

DATA is a folder of the challenge's shards with their tokenizer, or one that `regrow data` made. `unpack` writes the
commented sources.
"""

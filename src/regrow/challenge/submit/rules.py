"""Whether runs make a submission: every rule that is not met, each as a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from regrow.artifact.container import read_artifact
from regrow.challenge.facts import GRACE, LIMIT_BYTES, LIMIT_SECONDS
from regrow.core.config.load import load_config
from regrow.core.config.schema import Config
from regrow.core.errors import DataError
from regrow.core.results import Result
from regrow.core.run_folder import ARTIFACT, CONFIG, RESULT

_PROOF_OVER = 0.002  # of the evaluated figure; a range coder's own cost is far below
_PROOF_BYTES = 140  # of a stream's header, which shows on a short text
# Keys that say how a run is watched, not what it is.
_WATCHING = {"train.seed", "train.log_every", "train.log_lines", "train.checkpoint_seconds"}


@dataclass(frozen=True)
class SeedRun:
    """One run's folder, read."""

    folder: Path
    config: Config
    result: Result
    artifact_bytes: int

    @property
    def seed(self) -> int:
        """The seed it was trained with."""
        return self.config.train.seed


def read_run(folder: Path) -> SeedRun:
    """The files of a run. Raises DataError naming what is missing, or not of this run."""
    for name in (ARTIFACT, RESULT, CONFIG):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: has no {name}; give the folder of a run that regrow train finished.")
    config, result = load_config(folder / CONFIG), Result.load(folder / RESULT)
    manifest = read_artifact(folder / ARTIFACT).manifest
    kept = manifest.get("config", {}).get("train", {})
    if manifest.get("seed") != config.train.seed or kept.get("seed") != result.seed:
        raise DataError(
            f"{folder}: artifact, config.toml and result.json are of different seeds; train it again."
        )
    return SeedRun(folder, config, result, (folder / ARTIFACT).stat().st_size)


def broken_rules(runs: Sequence[SeedRun], code_bytes: int, record_track: bool) -> list[str]:
    """What stands against the submission; empty for one that may be made. `record_track`: the time caps count too."""
    return [
        *_same(runs),
        *(sentence for run in runs for sentence in _of_one(run, code_bytes)),
        *(sentence for run in runs for sentence in (_times(run) if record_track else [])),
    ]


def _same(runs: Sequence[SeedRun]) -> list[str]:
    found = []
    seeds = [run.seed for run in runs]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        found.append(f"seed {twice[0]} is there {seeds.count(twice[0])} times, give runs of different seeds")
    first = runs[0]
    for run in runs[1:]:
        keys = differing_keys(first.config, run.config)
        if keys:
            found.append(f"{run.folder} has another config than {first.folder} ({', '.join(keys)})")
        if run.result.data != first.result.data:
            found.append(f"{run.folder} was made with other data than {first.folder}")
    return found


def differing_keys(one: Config, other: Config) -> list[str]:
    """The keys in which two configs differ, but for the seed and how a run is watched."""
    a, b = _flat(one), _flat(other)
    return sorted(key for key in a if a[key] != b[key] and key not in _WATCHING)


def _flat(config: Config) -> dict[str, Any]:
    table = msgspec.to_builtins(config)
    return {
        f"{section}.{key}": value
        for section, keys in table.items()
        if isinstance(keys, dict)
        for key, value in keys.items()
    }


def _of_one(run: SeedRun, code_bytes: int) -> list[str]:
    found = []
    proof, blended = run.result.proof, run.result.bpb.blended
    if blended is None:
        found.append(f"{run.folder} is not evaluated, run regrow eval on it")
    if proof is None:
        found.append(f"{run.folder} is not proven, run regrow prove on it")
    elif not proof.sha256_match or proof.raw_bytes != run.result.data.val_bytes:
        found.append(f"the proof of {run.folder} failed or is of another text, run regrow prove on it")
    elif blended is not None:
        most = blended * (1 + _PROOF_OVER) + 8 * _PROOF_BYTES / proof.raw_bytes
        if not blended * (1 - _PROOF_OVER) <= proof.bpb <= most:
            found.append(
                f"{run.folder} is proven at {proof.bpb:.4f} bits per byte and evaluated at {blended:.4f}, run regrow "
                "eval and regrow prove on it again"
            )
    stated = (run.result.bytes or {}).get("total")
    if stated != run.artifact_bytes:
        found.append(
            f"the artifact of {run.folder} has {run.artifact_bytes:,} bytes, its result.json says {stated}"
        )
    budget = artifact_budget(code_bytes)
    if run.artifact_bytes > budget:
        found.append(
            f"{run.folder} has {run.artifact_bytes:,} bytes of model and {code_bytes:,} of code, "
            f"{run.artifact_bytes - budget:,} over {LIMIT_BYTES:,}; train with "
            f"pack.budget_bytes={budget // 1000 * 1000}"
        )
    return found


def artifact_budget(code_bytes: int) -> int:
    """Bytes that the cap leaves for the artifact beside a script of `code_bytes`."""
    return LIMIT_BYTES - code_bytes


def train_seconds(run: SeedRun) -> float:
    """Seconds of training as the challenge would count them: the trainer's clock, and the text counted before it."""
    ahead = run.config.memory.kind != "none" and run.config.memory.fill == "ahead"
    counted = (run.result.seconds.memory_count or 0.0) if ahead else 0.0
    return (run.result.seconds.train or 0.0) + counted


def _times(run: SeedRun) -> list[str]:
    spent = run.result.seconds
    limits = (("training", train_seconds(run)), ("evaluation", (spent.load or 0.0) + (spent.eval or 0.0)))
    return [
        f"{what} of {run.folder} took {seconds:.0f} s of {LIMIT_SECONDS:.0f}"
        for what, seconds in limits
        if seconds > LIMIT_SECONDS * GRACE
    ]

"""A sweep of settings that fits a night: successive halving over a grid, on text that is there for tuning.

regrow bench sweep --set train.lr_matrix=0.01,0.02 --set model.r=64,96      the preset `demo`, tuning split of the years
regrow bench sweep:PRESET --train TEXT|DIR --set ...                        another preset, a text or a data folder

A key with several values is swept, one with a single value holds for all runs; train.max_tokens says what a run of the
first round trains on. Each round keeps the better half and doubles the tokens. At the end the best settings and the
preset as it is run with three seeds each, on the last round's tokens. Held-out text is never read: runs are scored on a
tenth of the training text, which they do not see. A finished run is kept in runs/sweep and not run again, and one that
was interrupted goes on, when the same command is given again.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.dated import Found, about, results_folder
from benchmarks.dated import Size as AnySize
from benchmarks.seeds import Row, paired, spread
from benchmarks.texts import bench_data, share_of_validation, tuning_split
from regrow import __version__
from regrow.core.config.load import load_preset, preset_names
from regrow.core.config.schema import Config
from regrow.core.errors import BudgetError, ConfigError
from regrow.core.files import atomic_write_bytes, sha256_hex
from regrow.core.processes import Terminated
from regrow.core.progress import Progress
from regrow.core.run_folder import ARTIFACT, CHECKPOINT, RESULT
from regrow.data.dataset import DATA_JSON, Dataset
from regrow.predict.evaluation import evaluate
from regrow.training.checkpoint import has_checkpoint
from regrow.training.trainer import train as train_run

SEEDS = 3
_OURS = (
    "data.",
    "train.seed",
    "train.max_",
)  # keys that the sweep itself decides, or that all runs must share

Settings = tuple[str, ...]  # overrides of a config
Run = Callable[
    [Settings, int, int], Row
]  # of settings, tokens and a seed's number; `bpb` is None if it failed


@dataclass(frozen=True)
class Size(AnySize):
    """The preset, the tokens that a run of the first round trains on where the user does not say, and the tokens that
    each is scored on."""

    preset: str = "demo"
    tokens: int = 1_000_000
    scored_tokens: int = 131_072


SIZES = {
    "": Size(0),
    "quick": Size(0, "quick", "demo", 8_192, 4_096),
    **{preset: Size(0, preset=preset) for preset in preset_names()},
}


def measure(train: Path | None, settings: Sequence[str], size: Size, progress: Progress) -> Found:
    """All runs in their order: `round` (None for those of several seeds, of the `arm` best or preset), `settings`,
    `tokens`, `seed`, bits per byte of the `network` and of the mixture (`bpb`), the artifact's `bytes`, or `failed`.

    Raises ConfigError where nothing is swept, where settings do not fit together, and where every run of a round fails.
    """
    fixed, grid = grid_of(settings)
    shared = [f"train.max_tokens={size.tokens}", *fixed]
    preset, *_ = [
        load_preset(size.preset, [*shared, *chosen]) for chosen in ((), *grid)
    ]  # checked before all work
    with _tuning_data(train, preset.data.vocab_size, progress) as data:
        scored = share_of_validation(data, size.scored_tokens)
        run = Runs(scored, size.preset, fixed, progress)
        rows, best, tokens = halving(grid, preset.train.max_tokens or size.tokens, run)
        for (arm, chosen), seed in itertools.product({"best": best, "preset": ()}.items(), range(SEEDS)):
            rows.append({**run(chosen, tokens, seed), "round": None, "arm": arm})
        facts = about(scored)
    return {**facts, "size": size.name, "preset": size.preset, "fixed": fixed, "best": best, "runs": rows}


def summary(found: Found) -> dict[str, Any]:
    """What is printed: bits per byte of network and mixture, round by round; means over seeds of the best and of the
    preset; and their difference, taken seed by seed, beside half its 95 % interval."""
    told: dict[str, Any] = {"best": " ".join(found["best"])}
    for row in found["runs"]:
        if row["round"] is not None:
            part = told.setdefault(f"round {row['round']}, {row['tokens']:,} tokens", {})
            part[" ".join(row["settings"])] = _figures([row])
    arms = {arm: [row for row in found["runs"] if row["arm"] == arm] for arm in ("best", "preset")}
    gap = paired(arms["best"], arms["preset"])
    told[f"{SEEDS} seeds"] = {
        **{arm: _figures(rows) for arm, rows in arms.items()},
        "best - preset": gap and {"mixture": round(gap[0], 4), "interval 95 %": round(gap[1], 4)},
    }
    return told


def grid_of(settings: Sequence[str]) -> tuple[list[str], list[Settings]]:
    """What holds for all runs, and every choice of the values of keys with several. Raises ConfigError where there is
    nothing to choose, and for a key that cannot be swept."""
    fixed, swept = [], []
    for setting in settings:
        key, _, values = setting.partition("=")
        if "," not in values:
            fixed.append(setting)
        elif key.strip().startswith(_OURS):
            raise ConfigError(f"--set {setting}: all runs of a round share {key.strip()}; give one value.")
        else:
            swept.append([f"{key}={value}" for value in values.split(",")])
    if not swept:
        raise ConfigError("bench sweep: nothing to sweep; give --set KEY=A,B with several values of a key.")
    return fixed, list(itertools.product(*swept))


def halving(grid: Sequence[Settings], tokens: int, run: Run) -> tuple[list[Row], Settings, int]:
    """Run the grid round by round until one is left: the rows of all runs, that one, and the last round's tokens."""
    rows, left = list[Row](), list(grid)
    for number in itertools.count(1):
        found = [{**run(settings, tokens, 0), "round": number, "arm": None} for settings in left]
        rows += found
        ranked = sorted((row["bpb"], place) for place, row in enumerate(found) if row["bpb"] is not None)
        if not ranked:
            raise ConfigError(
                f"bench sweep: all runs of round {number} failed; the first: {found[0]['failed']}"
            )
        left = [left[place] for _, place in ranked[: (len(left) + 1) // 2]]
        if len(left) == 1:
            break
        tokens *= 2
    return rows, left[0], tokens


class Runs:
    """Runs of a preset on `data`, each made once: what is finished lies in runs/sweep under a name that follows from
    text and config, and what was begun beside it."""

    def __init__(self, data: Dataset, preset: str, fixed: Sequence[str], progress: Progress) -> None:
        self._data, self._preset, self._fixed, self._progress = data, preset, fixed, progress
        self._folder = results_folder().parents[1] / "runs" / "sweep"
        self._text = sha256_hex(np.asarray(data.train_tokens).tobytes() + data.val_bytes)

    def __call__(self, settings: Settings, tokens: int, seed: int) -> Row:
        """The row of a run; where training diverges or the artifact is too large, `failed` says so."""
        limits = [f"train.max_tokens={tokens}", "train.max_steps=0", "train.max_seconds=0"]
        config = load_preset(self._preset, [*self._fixed, *settings, *limits])
        train = msgspec.structs.replace(config.train, seed=config.train.seed + seed)
        config = msgspec.structs.replace(config, train=train)
        key = sha256_hex(msgspec.json.encode([__version__, self._text, config]))[:16]
        path, work = self._folder / f"{key}.json", self._folder / key
        self._progress.log(f"{tokens:,} tokens, seed {train.seed}: {' '.join(settings) or 'the preset'}")
        if not path.is_file():
            try:
                figures = self._figures(config, work)
            except (KeyboardInterrupt, Terminated) as end:
                end.args = (
                    f"bench sweep: stopped; finished runs are kept in {self._folder}, and the same command goes on",
                )
                raise
            row = {"settings": settings, "tokens": tokens, "seed": train.seed, **figures}
            atomic_write_bytes(path, msgspec.json.encode(row))
            shutil.rmtree(work, ignore_errors=True)
        kept: Row = json.loads(path.read_bytes())
        return {**kept, "settings": settings}

    def _figures(self, config: Config, work: Path) -> Row:
        """Train, going on where an earlier attempt was stopped, and score."""
        if not (work / RESULT).is_file():
            resume = has_checkpoint(work / CHECKPOINT)
            try:
                train_run(config, self._data, work, resume=resume, overwrite=True, progress=self._progress)
            except (BudgetError, ConfigError) as error:
                return {"network": None, "bpb": None, "bytes": None, "failed": str(error)}
        found = evaluate(work / ARTIFACT, self._data.val_bytes, stride=None, progress=self._progress)
        return {
            "network": found.bpb.neural,
            "bpb": found.bpb.blended,
            "bytes": found.bytes["total"],
            "failed": None,
        }


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Means of the rows of an arm, to four decimals, and over several seeds the deviation of the mixture; or why the
    first failed."""
    failed = [row["failed"] for row in rows if row["failed"]]
    network, mixture = (spread(row[key] for row in rows) for key in ("network", "bpb"))
    told: dict[str, Any] = {
        "network": network and round(network.mean, 4),
        "mixture": mixture and round(mixture.mean, 4),
    }
    if len(rows) > 1:
        told["deviation"] = mixture and round(mixture.deviation, 4)
    return {**told, **({"failed": failed[0]} if failed else {})}


@contextlib.contextmanager
def _tuning_data(train: Path | None, vocab_size: int, progress: Progress) -> Iterator[Dataset]:
    """The tuning split of the years; or a text or a data folder, of whose training part a tenth is for tuning."""
    if train is not None and (train / DATA_JSON).is_file():
        yield tuning_split(Dataset.load(train))
    else:
        with bench_data(train, None, vocab_size, progress) as data:
            yield data if train is None else tuning_split(data)

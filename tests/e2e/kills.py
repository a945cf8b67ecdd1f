"""Training that is killed again and again, and always comes to the artifact of a run that was left alone.

    python -m tests.e2e.kills 50        # or: make kills

Kills with SIGKILL at random moments: at any time, in the middle of writing a checkpoint, of writing the artifact, of
packing, and of merging the counts of two processes; resumes each time. After each kill every file must be whole and no
checkpoint older than before; each run that ends must give, byte for byte, the artifact of an uninterrupted one. Prints
what it did and ends with 1 if anything was lost.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.conftest import make_text, tiny_settings
from tests.e2e.forks import Ended, ForkServer, Moment

STEPS, LOG_EVERY = 48, 4
KILLS_A_RUN = 5


@dataclass
class Tally:
    """What happened. `differing`: bytes in which a finished artifact was not the uninterrupted one's."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    differing: int = 0
    lost: list[str] = field(default_factory=list)
    longest_wait: float = 0.0  # seconds the other process went on after one of two was killed

    def lines(self) -> list[str]:
        total = sum(self.kills.values())
        survived = total - len(self.lost)
        return [
            f"{survived} of {total} kills survived: "
            + ", ".join(f"{n} {p}" for p, n in sorted(self.kills.items())),
            f"{self.finished} runs came to their end, {self.differing} bytes differ from uninterrupted runs",
            f"{self.longest_wait:.1f} s at most until the other of two processes stopped",
            *self.lost,
        ]


@dataclass(frozen=True)
class Kind:
    """A kind of run: how many processes, and how the memory is filled."""

    processes: int
    fill: str

    def arguments(self, data: Path, out: Path) -> list[object]:
        settings = [
            f"memory.fill={self.fill}", "model.memory_input=0", f"train.max_steps={STEPS}",
            f"train.log_every={LOG_EVERY}",
            "train.checkpoint_seconds=0.04", "train.ema=0.5",
        ]  # fmt: skip
        extra = [part for key in settings for part in ("--set", key)]
        return ["train", "--data", data, "--out", out, "--quiet", *tiny_settings(), *extra]


KINDS = [Kind(1, "ahead"), Kind(2, "prequential"), Kind(1, "prequential"), Kind(2, "ahead")]


def kill_again_and_again(server: ForkServer, data: Path, folder: Path, kills: int, seed: int) -> Tally:
    """`kills` kills at moments drawn from `seed`, in runs under `folder`."""
    rng, tally = random.Random(seed), Tally()
    whole: dict[Kind, tuple[bytes, float]] = {}
    number = 0
    while sum(tally.kills.values()) < kills:
        kind = KINDS[number % len(KINDS)]
        if kind not in whole:
            alone = folder / f"whole-{kind.processes}-{kind.fill}"
            ended = server.run(*kind.arguments(data, alone), processes=kind.processes)
            assert ended.fine, ended.said
            whole[kind] = (alone / "artifact.safetensors").read_bytes(), max(ended.seconds)
        left = min(KILLS_A_RUN, kills - sum(tally.kills.values()))
        _one_run(server, kind, data, folder / f"run-{number}", whole[kind], left, rng, tally)
        number += 1
    return tally


def _one_run(
    server: ForkServer, kind: Kind, data: Path, out: Path, whole: tuple[bytes, float], kills: int,
    rng: random.Random, tally: Tally,
) -> None:  # fmt: skip
    expected, seconds = whole
    newest = 0
    moments = _moments(kind, seconds, kills, rng)
    while True:
        moment = next(moments, None)
        going_on = ["--resume"] if _steps(out) else []
        ended = server.run(*kind.arguments(data, out), *going_on, processes=kind.processes, moment=moment)
        if moment is None or ended.codes[moment.rank] != -9:  # the run was over before its moment came
            break
        tally.kills[moment.place] += 1
        tally.lost += [
            f"{out.name}, killed in {moment.place}: {loss}" for loss in _losses(out, newest, expected)
        ]
        tally.lost += [f"{out.name}: {fault}" for fault in _faults_of_the_others(ended, moment, tally)]
        newest = max([newest, *_steps(out)])
    if not ended.fine:
        tally.lost.append(f"{out.name}: could not go on: {ended.said}")
        return
    tally.finished += 1
    got = (out / "artifact.safetensors").read_bytes()
    differing = abs(len(got) - len(expected)) + sum(a != b for a, b in zip(got, expected, strict=False))
    tally.differing += differing
    if differing:
        tally.lost.append(f"{out.name}: {differing} bytes of the artifact differ")
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    if steps != list(range(LOG_EVERY, STEPS + 1, LOG_EVERY)):
        tally.lost.append(f"{out.name}: the log has steps {steps}")
    if left_over := [path.name for path in out.rglob("*.tmp")]:
        tally.lost.append(f"{out.name}: {left_over} were left over")


def _moments(kind: Kind, seconds: float, kills: int, rng: random.Random) -> Iterator[Moment]:
    places = ["anywhere", "checkpoint", "anywhere", "between", "packing"]
    for i in range(kills):
        place = places[(i + rng.randrange(2)) % len(places)]
        if kind.processes > 1 and i % 3 == 0:
            place = "merging"
        rank = rng.randrange(kind.processes) if place in ("anywhere", "merging") else 0
        delay = rng.random() * (seconds if place == "anywhere" else 0.3)
        yield Moment(
            place,
            delay,
            rng.choice([0.0, rng.random(), 1.0]),
            rng.randint(1, 3 if place == "checkpoint" else 1),
            rank,
        )


def _steps(out: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in out.glob("checkpoint/step-*.safetensors")]


def _losses(out: Path, newest: int, expected: bytes) -> list[str]:
    """What is not whole, or gone, in a folder whose run was killed."""
    from regrow.core.errors import RegrowError
    from regrow.core.results import Result
    from regrow.training.checkpoint import load_checkpoint

    losses: list[str] = []
    if newest and max(_steps(out), default=0) < newest:
        losses.append(f"the checkpoint of step {newest} is gone")
    try:
        if _steps(out):
            load_checkpoint(out / "checkpoint", losses.append)
        if (out / "result.json").exists():
            Result.load(out / "result.json")
    except RegrowError as error:
        losses.append(str(error))
    artifact = out / "artifact.safetensors"
    if artifact.exists() and artifact.read_bytes() != expected:
        losses.append("the artifact is not whole")
    return losses


def _faults_of_the_others(ended: Ended, moment: Moment, tally: Tally) -> Iterator[str]:
    """The processes that were not killed stop soon, and say why."""
    for rank, code in enumerate(ended.codes):
        if rank == moment.rank:
            continue
        waited = ended.seconds[rank] - ended.seconds[moment.rank]
        tally.longest_wait = max(tally.longest_wait, waited)
        said = ended.said[rank]
        # Where the first process packs alone, the other may have nothing left to do with it.
        if code != 0 and not (code == 2 and "regrow: error" in said and "Traceback" not in said):
            yield f"process {rank} ended with {code}: {said}"
        if waited > 60:
            yield f"process {rank} went on for {waited:.0f} s"


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="regrow-kills-") as name, ForkServer() as server:
        folder = Path(name)
        (folder / "text").mkdir()
        for i in range(12):
            (folder / "text" / f"doc{i:02d}.txt").write_text(make_text(i, 900), encoding="utf-8")
        made = server.run(
            "data", folder / "text", "--out", folder / "data", "--set", "data.vocab_size=400", "--quiet"
        )
        assert made.fine, made.said
        tally = kill_again_and_again(server, folder / "data", folder, kills, seed)
    print("\n".join(tally.lines()))
    print(f"seed {seed}, {time.monotonic() - started:.0f} s")
    return 1 if tally.lost else 0


if __name__ == "__main__":
    sys.exit(main())

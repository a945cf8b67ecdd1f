"""`regrow bench`: side by side with peers, in one run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

from regrow.cli.options import Json, Quiet, argument, artifact_in_run, no_fifo, option
from regrow.cli.output import command_output
from regrow.core.errors import EnvironmentProblem

_CHECKOUT = Path(__file__).resolve().parents[3]


def command(
    name: Annotated[str, argument("NAME", "Which bench.")],
    train: Annotated[
        list[Path] | None,
        option("FILE", "Training text, instead of the bench's own; may be given again for `quality`."),
    ] = None,
    val: Annotated[
        list[Path] | None,
        option("FILE", "Held-out text, instead of the bench's own; may be given again for `quality`."),
    ] = None,
    artifact: Annotated[
        Path | None,
        option(
            "FILE",
            "An artifact to measure, or the folder of a run, for the bench `adaptive`.",
            callback=artifact_in_run,
        ),
    ] = None,
    official: Annotated[
        Path | None,
        option(
            "MODEL",
            "parameter-golf's SentencePiece model, to count tokens and bytes as it does, for `quality`.",
            callback=no_fifo,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option(
            "SECTION.KEY=A,B,...",
            "For the bench `sweep`: the values of a key to choose from, or one for all; may be given again.",
            "--set",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure side by side with peers.

    Keeps a dated result under bench/results/. A ratio is peer over ours, so larger is better.

    `sweep` (sweep:PRESET, else the preset demo) trains with each choice of the values that --set gives, scores it on a
    tenth of the training text, and goes on with the better half on twice the tokens until one is left; train.max_tokens
    is the first round's (1,000,000). Then the best and the preset run with three seeds each. --train may be a folder
    made by `regrow data`. The same command goes on where it was stopped.
    """
    with command_output(json, quiet) as output:
        benchmarks = _benchmarks()
        given = benchmarks.Given(
            tuple(train or ()), tuple(val or ()), artifact, official, tuple(settings or ())
        )
        measured = benchmarks.run(name, given, output.progress)
        output.result(measured)
        output.tree(measured)


def _benchmarks() -> ModuleType:
    """The benches, which lie beside the package in its repository and not in what pip installs."""
    if not (_CHECKOUT / "benchmarks" / "__init__.py").is_file():
        raise EnvironmentProblem(
            "regrow bench: the benches are not part of the installed package; clone the repository, install it with "
            "pip install -e . and run regrow bench there."
        )
    if str(_CHECKOUT) not in sys.path:
        sys.path.insert(0, str(_CHECKOUT))
    return importlib.import_module("benchmarks")

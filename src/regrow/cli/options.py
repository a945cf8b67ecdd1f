"""Options that several commands share, and the config they add up to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from regrow.core.errors import ConfigError, DataError
from regrow.core.files import is_fifo
from regrow.core.run_folder import ARTIFACT

if TYPE_CHECKING:
    from regrow.artifact.load_cache import ArrayCache
    from regrow.core.config.schema import Config

_TORCH_BYTES = 1_000_000_000  # of address space, for torch and the modules that train and evaluate with it

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, all else on standard error.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only: no progress.")]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", "-f", help="Replace a file that is there already, unasked.")
]
Stdout: TypeAlias = Annotated[bool, typer.Option("--stdout", "-c", help="Write to standard output.")]
Keep: TypeAlias = Annotated[
    bool, typer.Option("--keep", "-k", help="Keep FILE, as is always done.", show_default=False)
]


Device: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="cpu|cuda|cuda:N",
        help="Where the network computes.  [default: a GPU where there is one]",
    ),
]


def artifact_in_run(path: Path | None) -> Path | None:
    """The artifact that a command is given: a file, or in its place the folder of its run."""
    path = no_fifo(path)
    return path / ARTIFACT if path is not None and path.is_dir() else path


def no_fifo(path: Path | None) -> Path | None:
    """A path that is read more than once. Raises DataError for a FIFO: it would wait, maybe for ever, for a writer."""
    if path is not None and is_fifo(path):
        raise DataError(f"{path}: is a FIFO, and is read more than once; write it to a file first.")
    return path


def _artifact(metavar: str) -> Any:
    help = "An artifact.safetensors, or the folder of a run."
    return typer.Argument(metavar=metavar, help=help, callback=artifact_in_run)


ArtifactFile: TypeAlias = Annotated[Path, _artifact("ARTIFACT")]
ModelFile: TypeAlias = Annotated[Path, _artifact("MODEL")]
AnyArtifact: TypeAlias = Annotated[Path | None, _artifact("ARTIFACT")]
HeldOut: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR|FILE",
        help="A folder made by `regrow data`, whose held-out text is used, or any file.",
        callback=no_fifo,
    ),
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Set one key of the config, for instance train.max_steps=30; may be given again.",
    ),
]

EvalOverrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="EVAL.KEY=VALUE",
        help="With --ttt: set one key of [eval], for instance eval.ttt=none; may be given again.",
    ),
]

Cache: TypeAlias = Annotated[
    bool,
    typer.Option("--cache/--no-cache", help="Keep what takes seconds to regrow in the user's cache folder."),
]


def array_cache(wanted: bool) -> ArrayCache | None:
    """The user's cache of regrown arrays, unless it is not wanted."""
    from regrow.artifact.load_cache import ArrayCache

    return ArrayCache() if wanted else None


def check_torch_fits() -> None:
    """Raise EnvironmentProblem where a limit of memory does not let torch be loaded."""
    from regrow.core.machine import check_address_space

    if "torch" not in sys.modules:
        check_address_space("torch", _TORCH_BYTES)


def refuse_settings(settings: list[str] | None, ttt: bool | None) -> None:
    """`--set` says how to adapt, so it goes with `--ttt` alone."""
    if settings and not ttt:
        raise ConfigError(f"--set {settings[0]}: says how to adapt; give --ttt too.")


def resolve_config(preset: str | None, file: Path | None, overrides: list[str] | None) -> Config:
    """The config of `--preset` or `--config` (the demo preset if neither), with the overrides applied."""
    from regrow.core.config.load import apply_overrides, load_config, load_preset

    if preset is not None and file is not None:
        raise ConfigError("--preset and --config both say which config to use; give one of them.")
    config = load_config(file) if file is not None else load_preset(preset or "demo")
    return apply_overrides(config, overrides) if overrides else config

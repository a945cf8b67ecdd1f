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


def option(metavar: str, help: str, *names: str, **more: Any) -> Any:
    """An option with a value, called as its parameter is where `names` gives no other name."""
    return typer.Option(*names, metavar=metavar, help=help, **more)


def flag(help: str, *names: str) -> Any:
    """An option without a value."""
    return typer.Option(*names, help=help)


def argument(metavar: str, help: str, **more: Any) -> Any:
    """An argument; `metavar`: how help calls it."""
    return typer.Argument(metavar=metavar, help=help, **more)


Json: TypeAlias = Annotated[
    bool, flag("Print one JSON object on standard output, all else on standard error.", "--json")
]
Quiet: TypeAlias = Annotated[bool, flag("Print the result only: no progress.", "--quiet", "-q")]
Force: TypeAlias = Annotated[bool, flag("Replace a file that is there already, unasked.", "--force", "-f")]
Stdout: TypeAlias = Annotated[bool, flag("Write to standard output.", "--stdout", "-c")]
Keep: TypeAlias = Annotated[
    bool, typer.Option("--keep", "-k", help="Keep FILE, as is always done.", show_default=False)
]


Device: TypeAlias = Annotated[
    str | None,
    option("cpu|cuda|cuda:N", "Where the network computes.  [default: a GPU where there is one]", "--device"),
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
    option(
        "DIR|FILE",
        "A folder made by `regrow data`, whose held-out text is used, or any file.",
        "--data",
        callback=no_fifo,
    ),
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    option(
        "SECTION.KEY=VALUE",
        "Set one key of the config, for instance train.max_steps=30; may be given again.",
        "--set",
    ),
]

EvalOverrides: TypeAlias = Annotated[
    list[str] | None,
    option(
        "EVAL.KEY=VALUE",
        "With --ttt: set one key of [eval], for instance eval.ttt=none; may be given again.",
        "--set",
    ),
]

Cache: TypeAlias = Annotated[
    bool, flag("Keep what takes seconds to regrow in the user's cache folder.", "--cache/--no-cache")
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

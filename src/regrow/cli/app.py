"""All commands under one name, and what becomes of an error: one line on standard error and an exit code.

0 fine, 1 a negative verdict, 2 the user's or the tool's error, 130 interrupted.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from regrow import __version__
from regrow.cli import (
    audit,
    bench,
    compress,
    config,
    data,
    decompress,
    demo,
    evaluate,
    inspect,
    prove,
    report,
    sample,
    submit,
    train,
)
from regrow.core.errors import RegrowError

# Packages that are not there after a plain `pip install .`, and the extra that brings them.
_EXTRAS = {"torch": "train", "safetensors": "train", "matplotlib": "dev"}


@dataclass
class Session:
    """What `main` must know of the command that ran when it reports how that went wrong."""

    debug: bool = False


class Interrupted(BaseException):
    """Ctrl-C inside a command, kept from typer, which would print a word of its own and exit with 1."""


class Commands(TyperGroup):
    """The group of all commands, in the order in which a newcomer meets them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise Interrupted(*interrupt.args) from interrupt


# Plain help, not boxes: it prints sooner and reads the same on a terminal, in a log and in docs/cli.md.
app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 88},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regrow {__version__}")
        raise typer.Exit


@app.callback()
def regrow(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Language models under a byte budget, with scores proven by decoding.

    `regrow demo` runs the whole path on the packaged corpus.
    """
    ctx.obj.debug = debug


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.command,
    "data": data.command,
    "train": train.command,
    "eval": evaluate.command,
    "prove": prove.command,
    "compress": compress.command,
    "decompress": decompress.command,
    "sample": sample.command,
    "inspect": inspect.command,
    "audit": audit.command,
    "report": report.command,
    "submit": submit.command,
    "bench": bench.command,
    "config": config.command,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `regrow ARGUMENTS` (the process's own by default) and return the exit code."""
    session = Session()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="regrow", obj=session)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Interrupted as interrupt:
        return _tell(str(interrupt) or "interrupted", 130)
    except RegrowError as error:
        _trace(session)
        return _tell(str(error), error.exit_code)
    except OSError as error:
        _trace(session)
        place = f"{error.filename}: " if error.filename else ""
        return _tell(f"{place}{(error.strerror or str(error)).lower()}.", 2)
    except Exception as error:
        _trace(session)
        package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if package in _EXTRAS:
            wanted = f"pip install '.[{_EXTRAS[package]}]' in a clone of regrow brings it"
            return _tell(f"this needs {package}, which is not installed; {wanted}.", 2)
        hint = "" if session.debug else "; `regrow --debug ...` shows where"
        return _tell(f"{type(error).__name__}: {error} (this is a bug{hint}).", 2)
    return 0


def _trace(session: Session) -> None:
    if session.debug:
        traceback.print_exc()


def _tell(sentence: str, code: int) -> int:
    # A library's message may span lines; the promise is one.
    sys.stderr.write(f"regrow: error: {' '.join(sentence.split())}\n")
    return code

"""All commands under one name, and what becomes of an error: one line on standard error and an exit code, and an
object on standard output where `--json` asks for one.

0 fine, 1 a negative verdict, 2 the user's or the tool's error, 130 interrupted, 141 nobody reads the
output any more, 143 or 129 ended by SIGTERM or SIGHUP.
"""

from __future__ import annotations

import ast
import codecs
import contextlib
import inspect as python_inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

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
    fit,
    inspect,
    ngram,
    prove,
    records,
    report,
    sample,
    score,
    submit,
    train,
)
from regrow.cli.options import flag
from regrow.core.errors import ConfigError, RegrowError
from regrow.core.processes import Terminated, clean_ending

COMPLETING = "_REGROW_COMPLETE"  # what the scripts of `--show-completion` set

# Options whose value is text, which may be empty; every other argument is a path, a name or a number.
_TEXTS = ("--prompt", "--reset-at", "--text-field", "--name", "--blurb", "--author", "--github-id")

# Plain help, not boxes: it prints sooner and reads the same on a terminal, in a log and in docs/cli.md.
app = typer.Typer(
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 80},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regrow {__version__}")
        raise typer.Exit


def regrow(
    debug: Annotated[bool, flag("Show the traceback of an error.", "--debug")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Language models under a byte budget, with scores proven by decoding.

    `regrow demo` runs the whole path on the packaged corpus.
    """


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.command,
    "fit": fit.command,
    "data": data.command,
    "train": train.command,
    "eval": evaluate.command,
    "prove": prove.command,
    "compress": compress.command,
    "decompress": decompress.command,
    "records compress": records.compress,
    "records decompress": records.decompress,
    "score": score.command,
    "ngram build": ngram.command,
    "sample": sample.command,
    "inspect": inspect.command,
    "audit": audit.command,
    "report": report.command,
    "submit": submit.command,
    "bench": bench.command,
    "config": config.command,
}
GROUPS = {
    "records": "Compress many small records, each decodable by itself.",
    "ngram": "N-gram models by themselves.",
}


def _help(function: Callable[..., None]) -> str:
    """Its docstring, out of the source where `python -OO` has taken it away."""
    if function.__doc__:
        return function.__doc__
    for node in ast.parse(python_inspect.getsource(python_inspect.getmodule(function) or app)).body:
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            return ast.get_docstring(node) or ""
    return ""


app.callback(help=_help(regrow))(regrow)
_groups = {"": app}
for name, command in COMMANDS.items():
    group, _, word = name.rpartition(" ")
    if group not in _groups:
        _groups[group] = typer.Typer(rich_markup_mode=None, no_args_is_help=False)
        app.add_typer(_groups[group], name=group, help=GROUPS[group])
    _groups[group].command(word, help=_help(command))(command)


def main(arguments: Sequence[str]) -> int:
    """Run `regrow ARGUMENTS` and return the exit code."""
    _prepare_streams()
    debug = False
    try:
        _refuse_empty(arguments)
        group = typer.main.get_command(app)
        if COMPLETING in os.environ:  # the shell asks what might come next
            group.main(prog_name="regrow")
        context = group.make_context("regrow", list(arguments) or ["--help"])
        debug = context.params["debug"]
        with context, clean_ending():
            group.invoke(context)
    except SystemExit as end:  # shell completion ends so
        return end.code if isinstance(end.code, int) else 0
    except typer.Exit as end:
        return end.exit_code if arguments else 2  # no command: a mistake, which help answers
    except KeyboardInterrupt as interrupt:
        _leave_half_made()
        return _tell(str(interrupt) or "interrupted", 130, arguments, interrupt)
    except Terminated as end:
        _leave_half_made()
        return _tell(str(end), 128 + end.number, arguments, end)
    except BrokenPipeError:
        # What is still buffered must not be tried again when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if debug:
            traceback.print_exc()
        from regrow.cli.failure import sentence

        code = error.exit_code if isinstance(error, RegrowError) else 2
        return _tell(sentence(error, debug), code, arguments, error)
    return 0


def _escapes(error: UnicodeError) -> tuple[str, int]:
    """A byte of a file's name that is not UTF-8 as the byte it is (`\\xe9`), other letters as Python's escapes."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    shown = [
        f"\\x{ord(c) - 0xDC00:02x}"
        if "\udc80" <= c <= "\udcff"
        else c.encode("ascii", "backslashreplace").decode()
        for c in letters
    ]
    return "".join(shown), error.end


def _refuse_empty(arguments: Sequence[str]) -> None:
    """`Path("")` is the current folder, which nobody means who writes `"$UNSET"`."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, value = argument.partition("=")
        without_value = bool(equals) and not value and option.startswith("-")
        empty = option if without_value else before
        if (not argument or without_value) and empty not in _TEXTS:
            place = (
                f"{empty}: its value"
                if empty.startswith("-")
                else f"the argument after `{empty or 'regrow'}`"
            )
            raise ConfigError(f"{place} is empty, as an unset variable of a shell is; give a path or a name.")


def _leave_half_made() -> None:
    """Of what an interrupt left half made (an object of LLVM, say) nobody wants the traceback of its deletion."""
    sys.unraisablehook = lambda dropped: None


def _prepare_streams() -> None:
    """Standard streams take whatever is written: one that is closed loses it, one of few letters gets escapes."""
    codecs.register_error("regrow.escapes", _escapes)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Left closed, its number would go to the next file that is opened, and what is printed into that file.
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="regrow.escapes")


def _tell(text: str, code: int, arguments: Sequence[str], error: BaseException) -> int:
    # A library's message may span lines; the promise is one.
    text = " ".join(text.split())
    with contextlib.suppress(OSError):  # standard error may be gone too
        sys.stderr.write(f"regrow: error: {text}\n")
    if "--json" in arguments and not getattr(error, "after_result", False):
        from regrow.cli.failure import failure
        from regrow.cli.output import Output

        with contextlib.suppress(OSError, ValueError):
            Output(True, True, sys.stdout).result(failure(text, code, arguments, error))
    return code

"""What becomes of an error: one sentence for people, and with `--json` an object for scripts."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

import msgspec

from regrow.core.errors import RegrowError, reason
from regrow.core.machine import available_memory, is_out_of_memory

# Packages that are not there after a plain `pip install .`, and the extra that brings them.
_EXTRAS = {"torch": "train", "safetensors": "train", "matplotlib": "dev"}


class Failure(msgspec.Struct, frozen=True):
    """An error as JSON. What is not known is null."""

    error: str  # the sentence that stands on standard error
    exit_code: int
    file: str | None = None  # the file, folder or URL it is about, as it was given
    field: str | None = None  # the option (--tokens) or the key of the config (train.max_steps) it is about
    fix: str | None = None  # what to do


def failure(text: str, code: int, arguments: Sequence[str], error: BaseException | None = None) -> Failure:
    """The parts of an error's sentence, `FILE: what is wrong; the fix.`

    Only what was given on the command line, or what the system names, is taken for a file.
    """
    place, colon, _ = text.partition(": ")
    file = getattr(error, "filename", None)
    if (
        colon
        and not place.startswith("-")
        and any(place in (given, given.partition("=")[2]) or _within(place, given) for given in arguments)
    ):
        file = place
    option = re.match(
        r"(?:Invalid value for |Missing option |Option |No such option: )?'?(--?[a-z][\w-]*)", text
    )
    key = re.search(r"\b(?:data|model|memory|mixer|train|pack|eval)\.[a-z]\w*", text)
    rest, semicolon, fix = text.rstrip(".").rpartition("; ")
    return Failure(
        error=text,
        exit_code=code,
        file=str(file) if file is not None else None,
        field=key[0] if key and key[0] != place else option[1] if option else None,
        fix=fix if semicolon and rest else None,
    )


def _within(place: str, given: str) -> bool:
    """Whether `place` is a file in a folder that was given."""
    return bool(given) and not given.startswith("-") and place.startswith(given.rstrip("/") + "/")


def sentence(error: Exception, debug: bool) -> str:
    """The error in one sentence."""
    if isinstance(error, RegrowError):
        return str(error)
    if hasattr(
        error, "format_message"
    ):  # usage: typer and the click under it have no public class for all of it
        path = getattr(getattr(error, "ctx", None), "command_path", "regrow")
        return f"{error.format_message().strip().rstrip('.?')}; `{path} --help` shows the usage."
    if is_out_of_memory(error):
        free = available_memory() / 1e6
        return (
            f"there is not enough memory, {free:,.0f} MB are free; free some, or raise the limit (ulimit -v)."
        )
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and not error.filename:
            return (
                f"standard output or a temporary file cannot be written ({reason(error)}); free some space."
            )
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{reason(error)}."
    package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if package in _EXTRAS:
        wanted = f"pip install '.[{_EXTRAS[package]}]' in a clone of regrow brings it"
        return f"this needs {package}, which is not installed; {wanted}."
    hint = "" if debug else "; `regrow --debug ...` shows where"
    return f"{type(error).__name__}: {error} (this is a bug{hint})."

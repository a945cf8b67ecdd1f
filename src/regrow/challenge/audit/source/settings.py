"""What a submission's own run commands and logs say of its switches: which settings the figures were made with.

Defaults of a script are only guesses at that. A README or a shell script names environment variables; a log prints the
settings it ran with, or a line that only one side of a branch prints. Logs weigh more than commands, and commands more
than defaults; where two of a kind disagree, the setting is unknown, and every branch that hangs on it is live.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from regrow.challenge.audit.source.syntax import last_name
from regrow.challenge.audit.source.unit import Unit

_COMMAND = re.compile(r"(?<![\w$])([A-Z][A-Z0-9_]{2,})=(\"[^\"\n]*\"|'[^'\n]*'|[^\s\\;|`)\"']+)")
_LINE = re.compile(r"^([A-Za-z_]\w*)\s*[:=]\s*(True|False|-?\d+(?:\.\d+)?(?:e-?\d+)?)$")
_INLINE = re.compile(r"(?<![\w./])([A-Za-z_]\w*)\s*[=:]\s*(True|False|\d+(?:\.\d+)?)(?=[\s,;)\]]|$)")
_PRINTS = re.compile(r"(?i)print|log|info|write")
_SHORTEST = 8
_NOT_SETTINGS = frozenset(
    "self args h cfg hp config master_process is_main is_master rank local_rank world_size distributed".split()
)


def from_commands(notes: Mapping[str, str]) -> dict[str, str | None]:
    """Environment variables that run commands set, by name; None where they disagree.

    Args:
        notes: README and shell scripts by file name.
    """
    found: dict[str, set[str]] = {}
    for name, text in notes.items():
        if name.endswith((".md", ".sh")):
            for match in _COMMAND.finditer(text):
                found.setdefault(match.group(1), set()).add(match.group(2).strip("\"'"))
    return {name: next(iter(values)) if len(values) == 1 else None for name, values in found.items()}


def without_source(logs: str, units: Iterable[Unit]) -> str:
    """The log lines that are not lines of the script itself; many logs begin with a copy of it."""
    source = {line.strip() for unit in units for line in unit.lines}
    return "\n".join(line for line in logs.split("\n") if line not in source)


def from_logs(logs: str, units: Iterable[Unit]) -> dict[str, str | None]:
    """Environment variables as the logs show them to have been, by name; None where logs disagree.

    Args:
        logs: log lines, stripped, without lines of source.
        units: the sources; they say which variable a printed setting was read from.
    """
    variables = dict(switches(units))
    found: dict[str, set[str]] = {}
    for line in logs.split("\n"):
        if len(line) > 600 or ("=" not in line and ":" not in line):
            continue
        whole = _LINE.match(line)
        pairs = [whole.groups()] if whole else _INLINE.findall(line)
        for name, value in pairs:
            if name in variables:
                text = {"True": "1", "False": "0"}.get(value, value)
                found.setdefault(variables[name], set()).add(_plain(text))
    return {name: next(iter(values)) if len(values) == 1 else None for name, values in found.items()}


def _plain(text: str) -> str:
    """A number in the shortest spelling that int() still reads where it is whole."""
    try:
        return str(int(float(text))) if float(text) == int(float(text)) else text
    except (ValueError, OverflowError):
        return text


def switches(units: Iterable[Unit]) -> Iterator[tuple[str, str]]:
    """Names that are set from an environment variable, each with the variable."""
    for unit in units:
        for node in unit.nodes:
            match node:
                case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=value):
                    name = last_name(target)
                    variables = map(_variable, ast.walk(value)) if name and value else ()
                    if variable := next(filter(None, variables), ""):
                        yield name, variable


def _variable(node: ast.AST) -> str:
    """The environment variable that a call reads; nothing of any other node."""
    match node:
        case ast.Call(func=reader, args=[ast.Constant(value=str(name)), *_]):
            if re.search(r"(?i)env", ast.unparse(reader)) and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                return name
    return ""


def proven(logs: str, units: Iterable[Unit]) -> frozenset[str]:
    """Names that hang a branch on themselves which the logs show to have been taken, against or with the default.

    Args:
        logs: log lines, stripped, without lines of source.
        units: the sources.
    """
    units = list(units)
    if not logs.strip() or not units:
        return frozenset()
    everything = "\n".join(unit.text for unit in units)
    names: set[str] = set()
    for unit in units:
        for node in unit.nodes:
            if isinstance(node, ast.If):
                texts = [*printed(node.body), *printed(node.orelse)]
                shown = any(f"\n{text}" in logs and everything.count(text) == 1 for text in texts)
            elif isinstance(node, ast.IfExp):
                shown = any(text in logs and everything.count(text) == 1 for text in _fragments(node.body))
            else:
                continue
            if shown:
                names.update(map(last_name, ast.walk(node.test)))
    return frozenset(names - _NOT_SETTINGS - {""})


def _fragments(node: ast.expr) -> Iterator[str]:
    """The fixed texts of some length in a string."""
    return filter(_tells, _fixed(_parts(node)))


def _parts(node: ast.expr) -> list[ast.expr]:
    return node.values if isinstance(node, ast.JoinedStr) else [node]


def _fixed(parts: Iterable[ast.expr]) -> Iterator[str]:
    """The constant texts among the parts of a string, stripped."""
    return (p.value.strip() for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str))


def _tells(text: str) -> bool:
    """Whether a text is long enough, and not of figures alone, to be recognised in a log."""
    return len(text) >= _SHORTEST and any(c.isalpha() for c in text)


def printed(body: list[ast.stmt]) -> Iterator[str]:
    """Beginnings of the lines that statements print or log, where they are fixed text of some length."""
    for node in (n for step in body for n in ast.walk(step)):
        match node:
            case ast.Call(func=printer, args=[first, *_]) if _PRINTS.search(last_name(printer)):
                yield from filter(_tells, (text.split("\n")[0] for text in _fixed(_parts(first)[:1])))

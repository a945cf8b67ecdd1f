"""JSON schemas of what regrow reads and prints: made from the very types, so that they cannot be out of date."""

from __future__ import annotations

import ast
import inspect
import tokenize
from collections.abc import Iterator
from typing import Any

import msgspec

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NAMES = ("config", "result", "audit", "error")


def schema(name: str) -> dict[str, Any]:
    """The schema of one of `NAMES`: a config (TOML as JSON), result.json, what `audit --json` prints, or an error."""
    made: dict[str, Any] = {"$schema": DRAFT, "title": f"regrow {name}", **_BUILDERS[name]()}
    for found in made["$defs"].values():
        found.pop("title", None)  # the name of a Python class
    return made


def _config() -> dict[str, Any]:
    from regrow.core.config.schema import Config

    return _of(Config)


def _result() -> dict[str, Any]:
    from regrow.core.results import Result

    return _of(Result)


def _audit() -> dict[str, Any]:
    from regrow.challenge.audit.verdict import Audit

    one = _of(Audit)
    many = {
        "type": "object",
        "properties": {"submissions": {"type": "array", "items": {"$ref": one["$ref"]}}},
        "required": ["submissions"],
    }
    return {"anyOf": [{"$ref": one["$ref"]}, many], "$defs": one["$defs"]}


def _error() -> dict[str, Any]:
    from regrow.cli.failure import Failure

    return _of(Failure)


_BUILDERS = {"config": _config, "result": _result, "audit": _audit, "error": _error}


def _of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.schema(kind)
    meanings = _comments(kind)
    for name, found in made["$defs"].items():
        for key, property in found.get("properties", {}).items():
            if meaning := meanings.get((name, key)):
                property["description"] = meaning
    return made


def _comments(kind: type) -> dict[tuple[str, str], str]:
    """(class, field) -> the comment above or beside the field, of all classes in the module that defines `kind`."""
    module = inspect.getmodule(kind)
    source = inspect.getsource(module) if module else ""
    lines = iter(source.splitlines(keepends=True))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(lambda: next(lines, ""))
        if token.type == tokenize.COMMENT
    }
    return {
        place: " ".join(comments[line] for line in span if line in comments)
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        for place, span in _fields(node)
    }


def _fields(node: ast.ClassDef) -> Iterator[tuple[tuple[str, str], range]]:
    """Each field of a class, and the lines that are about it: from the statement before it to its own last."""
    end = node.lineno
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield (node.name, statement.target.id), range(end + 1, (statement.end_lineno or end) + 1)
        end = statement.end_lineno or end

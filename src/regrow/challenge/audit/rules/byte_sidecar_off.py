"""Rule: the text is transformed, and the file of true byte counts is switched off."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

ID = "byte-sidecar-off"
_TRANSFORMED = re.compile(r"(?i)case_?ops|casefold|transformed|lossless_caps")
_SIDECAR = re.compile(r"(?i)val_bytes|byte_sidecar|bytes_\*\.bin")


def check(program: Program) -> Iterator[Finding]:
    """Switches, off by default and never set, that guard the byte counts of transformed text."""
    uses = [u for u in program.units if _SIDECAR.search(u.text)]
    for unit in uses:
        data = _transformed_data(unit.tree)
        if data is None:
            continue
        for node in ast.walk(unit.tree):
            name = _switch(node)
            if name is None or program.environment.get(name, "0") not in ("0", "false", "False", ""):
                continue
            if f"{name}=1" in program.sources.logs or re.search(
                rf"(?i){name}\W{{1,4}}(true|1)", program.sources.logs
            ):
                continue
            spot = Spot(unit.name, getattr(node, "lineno", 1), getattr(node, "col_offset", 0))
            yield program.finding(
                ID, "medium", "medium", spot,
                f"The data is transformed text ({data.value!r}), but {name} is off by default and "
                "nothing in the folder sets it: "
                "bytes are then counted from the transformed tokens, not from the original text.",
                Spot(unit.name, data.lineno, data.col_offset),
            )  # fmt: skip
            return


def _transformed_data(tree: ast.Module) -> ast.Constant | None:
    """A default path of data or tokenizer whose name says that the text is transformed."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and _TRANSFORMED.search(node.value)
            and ("/" in node.value or node.value.endswith((".model", ".bin")))
        ):
            return node
    return None


def _switch(node: ast.AST) -> str | None:
    """Name of an environment switch about transformed text whose default is off."""
    if (
        isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("get", "getenv")
        and len(node.args) == 2
    ):
        name, default = node.args
        if (
            isinstance(name, ast.Constant)
            and isinstance(default, ast.Constant)
            and str(default.value) in ("0", "False", "")
        ) and re.fullmatch(
            r"(?i)case_?ops(_enabled)?|use_(byte_)?sidecar|byte_sidecar(_enabled)?", str(name.value)
        ):
            return str(name.value)
    return None


RULE = SourceRule(
    id=ID,
    title="Transformed text without its byte counts",
    why=(
        "When case is moved into marker tokens, the tokens no longer tell how many bytes the original had; "
        "a sidecar file says it. With the sidecar off, markers count as text and the figure is wrong."
    ),
    breaks=(),
    severity="medium",
    confidence="medium",
    clears="Load the byte sidecar whenever the text is transformed, or divide by the bytes of the raw text.",
    search=check,
    cases=(13,),
)

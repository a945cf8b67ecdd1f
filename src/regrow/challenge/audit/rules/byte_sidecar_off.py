"""Rule: the text is transformed, and the file of true byte counts is switched off."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.syntax import is_call, is_constant

_TRANSFORMED = re.compile(r"(?i)case_?ops|casefold|transformed|lossless_caps")
_SIDECAR = re.compile(r"(?i)val_bytes|byte_sidecar|bytes_\*\.bin")
_SWITCH = re.compile(r"(?i)case_?ops(_enabled)?|use_(byte_)?sidecar|byte_sidecar(_enabled)?")


def search(program: Program) -> Iterator[Finding]:
    """Switches, off by default and never set, that guard the byte counts of transformed text."""
    logs = program.sources.logs
    for unit in program.units:
        data = next(filter(_is_transformed, unit.nodes), None)
        for node in unit.nodes if data is not None and _SIDECAR.search(unit.text) else ():
            name = _switch(node)
            if not name or program.environment.get(name, "0") not in ("0", "false", "False", ""):
                continue
            if f"{name}=1" in logs or re.search(rf"(?i){name}\W{{1,4}}(true|1)", logs):
                continue
            assert isinstance(data, ast.Constant)
            yield program.finding(
                RULE.id, "medium", "medium", unit.spot(node),
                f"The data is transformed text ({data.value!r}), but {name} is off by default and nothing in the "
                "folder sets it: bytes are then counted from the transformed tokens, not from the original text.",
                unit.spot(data),
            )  # fmt: skip
            return


def _is_transformed(node: ast.AST) -> bool:
    """Whether a default path of data or tokenizer has a name that says that the text is transformed."""
    path = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return bool(_TRANSFORMED.search(path)) and ("/" in path or path.endswith((".model", ".bin")))


def _switch(node: ast.AST) -> str:
    """Name of an environment switch about transformed text whose default is off."""
    if isinstance(node, ast.Call) and is_call(node, "get", "getenv") and len(node.args) == 2:
        name, default = node.args
        if isinstance(name, ast.Constant) and is_constant(default, 0, "0", "False", ""):
            return str(name.value) if _SWITCH.fullmatch(str(name.value)) else ""
    return ""


RULE = SourceRule(
    id="byte-sidecar-off",
    title="Transformed text without its byte counts",
    why=(
        "When case is moved into marker tokens, the tokens no longer tell how many bytes the original had; a "
        "sidecar file says it. With the sidecar off, markers count as text and the figure is wrong."
    ),
    severity="medium",
    confidence="medium",
    clears="Load the byte sidecar whenever the text is transformed, or divide by the bytes of the raw text.",
    search=search,
)

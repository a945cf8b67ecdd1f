"""C and C++ text of a submission: sibling files, and strings inside Python that a compiler is given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regrow.challenge.audit.source.unit import Spot

if TYPE_CHECKING:
    from regrow.challenge.audit.program import Program

_LOOKS_C = re.compile(
    r"#include\s*[<\"]|\b(u?int(8|16|32|64)_t|double|float|void|int)\s+\*?\w+\s*\([^)]*\)\s*\{", re.S
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


@dataclass(frozen=True)
class CText:
    """One C text, comments blanked out.

    Attributes:
        file: unit or file that holds it.
        line: line in that file where the text begins.
        code: the text.
    """

    file: str
    line: int
    code: str

    def spot(self, offset: int) -> Spot:
        """Place of an offset in the text."""
        return Spot(self.file, self.line + self.code.count("\n", 0, offset), 0)


def c_texts(program: Program) -> Iterator[CText]:
    """Every C text of the submission."""
    for name, text in program.sources.foreign.items():
        yield CText(name, 1, _blank(text))
    for unit in program.units:
        for node in unit.nodes:
            match node:
                case ast.Constant(value=str(text)) if len(text) > 200 and _LOOKS_C.search(text):
                    yield CText(unit.name, node.lineno, _blank(text))


def _blank(text: str) -> str:
    return _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text[:400_000])

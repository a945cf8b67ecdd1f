"""Lets an older Python read newer syntax, so that a script written for Python 3.14 is judged by 3.11.

Nested quotes in f-strings (PEP 701) and t-strings (750) become empty strings; type parameters (695, 696) and `type`
statements, and `except` without parentheses (758), become what they were before. Every line keeps its number.
"""

from __future__ import annotations

import re

_QUOTE = r"(?:(?<!\w)(?P<prefix>[rRbBuUfFtT]{1,2}))?(?P<quote>'''|\"\"\"|'|\")"
_PART = re.compile(rf"#[^\n]*|{_QUOTE}")
_IN_FIELD = re.compile(rf"[()\[\]{{}}]|{_QUOTE}")
_BRACKETS = r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]"
_PARAMETERS = re.compile(rf"\b((?:def|class)\s+\w+)\s*({_BRACKETS})")
_ALIAS = re.compile(rf"(?m)^([ \t]*)type\s+(\w+)\s*((?:{_BRACKETS})?)\s*=(?!=)")
_EXCEPT = re.compile(r"\b(except\*?)\s+([\w.]+(?:\s*,\s*[\w.]+)+)\s*:")


def older_syntax(text: str) -> str:
    """`text` as an older Python would have it written; line numbers stay."""
    out: list[str] = []
    at = 0
    while match := _PART.search(text, at):
        out.append(_rewritten(text[at : match.start()]))
        prefix = (match["prefix"] or "").lower()
        at = (
            match.end()
            if match["quote"] is None
            else _string_end(text, match.end(), match["quote"], prefix, 0)
        )
        literal = text[match.start() : at]
        fields = match["quote"] is not None and ("f" in prefix or "t" in prefix)
        out.append("'" + "\\\n" * literal.count("\n") + "'" if fields else literal)
    return "".join([*out, _rewritten(text[at:])])


def _rewritten(code: str) -> str:
    code = _PARAMETERS.sub(lambda m: m[1] + "\\\n" * m[2].count("\n"), code)
    code = _ALIAS.sub(lambda m: f"{m[1]}{m[2]}" + "\\\n" * m[3].count("\n") + " =", code)
    return _EXCEPT.sub(r"\1 (\2):", code)


def _string_end(text: str, at: int, quote: str, prefix: str, depth: int) -> int:
    """Offset behind the string that begins before `at`; of an f-string, fields and all."""
    fields = "f" in prefix or "t" in prefix
    ends = rf"\\.|{quote}" + (r"|\{\{|\{" if fields else "" if len(quote) == 3 else r"|\n")
    pattern = re.compile(ends, re.S)
    while match := pattern.search(text, at):
        found = match[0]
        at = match.end()
        if found == "{":
            at = _field_end(text, at, depth + 1)
        elif found[0] == "\\":
            at -= "r" in prefix and found[1] in "{}"  # a raw string's backslash leaves the brace a brace
        elif found != "{{":
            return match.start() if found == "\n" else at
    return len(text)


def _field_end(text: str, at: int, depth: int) -> int:
    level = 0
    while depth < 40 and (match := _IN_FIELD.search(text, at)):
        at = match.end()
        if match["quote"] is not None:
            at = _string_end(text, at, match["quote"], (match["prefix"] or "").lower(), depth)
        elif match[0] == "}" and level <= 0:
            return at
        else:
            level += 1 if match[0] in "([{" else -1
    return len(text)

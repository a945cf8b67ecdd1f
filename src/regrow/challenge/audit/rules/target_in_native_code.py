"""Rule: C code of the submission reads a table with the target in the key, or gates a hint by the target."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import SourceRule
from regrow.challenge.audit.source.c_text import CText, c_texts

_TARGET = r"\b(tgt|target|gold|tok|token|tid|y|next|actual)(_?\w*)?"
_KEY = re.compile(r"(\w+)\s*=\s*\(?[^;=]*?\^\s*\(?[^;]*?" + _TARGET + r"[^;]*\*[^;]*;", re.I)
_CURRENT = re.compile(
    r"(?P<cur>\w+)\s*=\s*(\([^)]*\)\s*)?\w*tok\w*_?\s*\[\s*(?P<pos>[pit]|pos|idx)\s*\]", re.I
)


def search(program: Program) -> Iterator[Finding]:
    """Every C text of the submission."""
    for text in c_texts(program):
        if not re.search(r"log\w*\s*\(|nll|prob|\bp_\w+|hint", text.code):
            continue
        yield from _joint_key(text)
        yield from _gated_hint(text)


def _joint_key(text: CText) -> Iterator[Finding]:
    """`key = ctx ^ target * prime; p = full[key] / ctx[...]`, read before it is updated."""
    for match in _KEY.finditer(text.code):
        name = match.group(1)
        window = text.code[match.end() : match.end() + 1500]
        found = re.finditer(rf"=\s*[^;]*\[[^\]]*\b{name}\b[^\]]*\][^;]*;", window)
        read = next((m for m in found if not re.match(r"\s*\+", window[m.start() - 1 :])), None)
        counts = read is not None and re.search(r"(?i)full|pair|joint|count", window[: read.end()])
        if counts and re.search(r"/|log", window):
            spot = text.spot(match.start())
            yield Finding(
                RULE.id, "high", "medium", spot.file, spot.line,
                "Native code forms a hash of context and target and divides the count found there: a number for "
                "the target alone, no distribution.",
                match.group(0).strip()[:200],
            )  # fmt: skip
            return


def _gated_hint(text: CText) -> Iterator[Finding]:
    """A property of the current token, looked up before the hint for that very token is made."""
    for match in _CURRENT.finditer(text.code):
        cur = re.escape(match.group("cur"))
        if re.match(r"prev|last|ctx", match.group("cur")):
            continue
        window = text.code[match.end() : match.end() + 2500]
        for flag in re.finditer(rf"bool\s+(\w+)\s*=[^;]*\[\s*{cur}\s*\][^;]*;", window):
            hint = rf"\w*hint\w*\s*\([^;]*\b{re.escape(flag.group(1))}\b[^;]*\)\s*;"
            if used := re.search(hint, window[flag.end() :]):
                spot = text.spot(match.end() + flag.start())
                yield Finding(
                    RULE.id, "high", "medium", spot.file, spot.line,
                    "A property of the current token decides which hint is given for that very token: the "
                    "prediction depends on the target.",
                    f"{flag.group(0).strip()}\n{used.group(0).strip()}"[:300],
                )  # fmt: skip
                return


RULE = SourceRule(
    id="target-in-native-code",
    title="Native code looks at the target before predicting it",
    why=(
        "A C kernel that precomputes hints or probabilities for the whole text has the targets at hand. Where "
        "a key or a gate is made from the current token, the prediction is not a function of the prefix."
    ),
    severity="high",
    confidence="medium",
    clears=(
        "Derive keys and gates from tokens before the current position, and update the tables with the "
        "current one afterwards."
    ),
    search=search,
)

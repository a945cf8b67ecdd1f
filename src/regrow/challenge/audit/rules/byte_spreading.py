"""Rule: a token probability is spread over its bytes and mixed with a byte model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.flow import domain as v
from regrow.challenge.audit.program import Program
from regrow.challenge.audit.rule import EventRule
from regrow.challenge.audit.source.c_text import c_texts

#: In C: a loss divided by a number of bytes, in a text that also mixes log-probabilities.
_SHARE = re.compile(
    r"(\w*(nll|logp|lp|loss)\w*(\[[^\]]*\])?)\s*/\s*\(?\s*\(?(double|float)?\)?\s*\(?\w*(nb|len|byte)\w*",
    re.I,
)
_MIX = re.compile(r"log(f|1p)?\s*\(\s*(exp|\w+\s*\*)|log_?(add|sum)_?exp|lam|mix", re.I)
_MESSAGE = (
    "A token's log-probability is divided evenly among its bytes and each share is mixed with a byte model: p to the "
    "power 1/n for the byte that comes is no distribution over the 256 bytes, so the mixture does not sum to one."
)


def _in_c(program: Program) -> Iterator[Finding]:
    for text in c_texts(program):
        share = _SHARE.search(text.code)
        if share and _MIX.search(text.code) and re.search(r"order|ctx|hist", text.code):
            spot, line = text.spot(share.start()), share.group(0).strip()
            yield Finding(RULE.id, "high", "medium", spot.file, spot.line, _MESSAGE, line)


RULE = EventRule(
    id="byte-spreading",
    title="A token's probability is spread over its bytes",
    why=(
        "The n-th root of a token's probability is large for every byte of a likely token, whatever other "
        "bytes could follow; a right byte factorisation sums the tokens that share each next byte, and "
        "multiplies back to the token."
    ),
    severity="high",
    confidence="high",
    clears="Mix over tokens, or give each byte the summed probability of all tokens that continue with it.",
    kind="perbyte",
    when=lambda e: not e.value.tags & v.TRAIN or bool(e.value.tags & v.VAL),
    message=_MESSAGE,
    sure=lambda e: "high" if e.value.tags & v.VAL else "medium",
    shows=(v.PERBYTE,),
    once=lambda e: (e.spot.file, e.stack[-1:]),
    besides=_in_c,
)

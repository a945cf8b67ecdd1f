"""Which values a number of a given name can have at all: in submission.json, in a README and in a log alike."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from regrow.challenge.audit.finding import Severity

#: A number as people print it, and what they print when it is none.
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
FIGURE = rf"{NUMBER}|[-+]?(?:nan|inf(?:inity)?)\b"


class _Range(NamedTuple):
    names: re.Pattern[str]
    above: float  # exclusive
    below: float  # exclusive
    words: str


_RANGES = tuple(
    _Range(re.compile(names), above, below, words)
    for names, above, below, words in (
        (r"bpb|bits_per_byte|^per_seed|^seed_results", 1e-6, 100, "bits per byte are more than 0 and less than 100"),
        (r"(^|_)val_loss(_mean|_exact|_nats)?$|^(mean_|final_)?loss$", 1e-6, 100, "nats per token are more than 0 and "
         "less than 100"),
        (r"(total|artifact|model|submission).*(bytes|size)|bytes_(total|model)", 0.999, 1e12, "an artifact has "
         "at least 1 byte and less than a terabyte"),
        (r"bytes|_size$", -1, 1e15, "a number of bytes is not negative, and less than a petabyte"),
        (r"^p$|^p_?val(ue)?", -1e-12, 1 + 1e-12, "a probability lies between 0 and 1"),
        (r"(^|_)(std|stdev|deviation)(_|$)", -1e-12, math.inf, "a deviation is not negative"),
        (r"seconds|_tokens$|(^|_)steps$|^params|_params$", -1e-12, math.inf, "it cannot be negative"),
    )
)  # fmt: skip
_DEVIATION = re.compile(r"(^|_)(std|stdev|deviation|p|p_?value|t_statistic)(_|$)")
_DIFFERENCE = re.compile(
    r"delta|Δ|gain|improv|diff|gap|change|\bvs|_vs|minus|drop|reduc|shrink|effect|cost|penalty|benefit|saving|slope|margin"
    r"|better|worse|lower",
    re.IGNORECASE,
)
_PLAIN = re.compile(rf"\s*({FIGURE})\s*", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(,\d{3})+(?![\d,])")
#: Fields that hold a number and nothing else, and what may stand there in a number's place.
_FIELDS = re.compile(
    r"(mean_|final_)?val_(bpb|loss)(_mean|_exact|_std|_nats)?|bpb|bits_per_byte|bytes_(total|code|model\w*)"
    r"|(artifact|total|code|model|submission)_(size_)?bytes(_max)?|artifact_size|p_?val(ue)?|(\w+_)?seconds|(train|val|total)_tokens"
    r"|(\w+_)?steps|(\w+_)?params"
)
_OPEN = re.compile(r"\W*(tb[acd]|todo|pending|unknown|none|null|not \w+( yet)?|n\W?a)?\W*", re.IGNORECASE)
_BEGINS = re.compile(rf"\W*({FIGURE})(?!\d|[.,]\d)", re.IGNORECASE)
_LEADING = re.compile(rf"\s*~?\s*({NUMBER})(?=\s|$)")  # '1.2 bits per byte', but no version '1.2-beta'


def is_difference(text: str) -> bool:
    """Whether a name, or the words before it, say that a number is the difference of two figures."""
    return _DIFFERENCE.search(text) is not None


def impossible(name: str, value: float) -> tuple[Severity, str] | None:
    """Why a number of this name cannot have this value, and how grave that is; None where it can."""
    name = name.lower()
    known = None if is_difference(name) else next((r for r in _RANGES if r.names.search(name)), None)
    if not math.isfinite(value):
        # One run has no deviation, and some print nan for it.
        grave = known is not None and not _DEVIATION.search(name)
        return ("high" if grave else "low"), "it is not a finite number"
    if _DEVIATION.search(name) and known is not None and "bits" in known.words:
        known = next(r for r in _RANGES if r.names.search("std"))
    if known is None or known.above < value < known.below:
        return None
    return "high", known.words


def figures(value: object) -> Iterator[tuple[str, float]]:
    """Every number under a value of submission.json, with the name it goes by."""
    for name, leaf in _leaves(value):
        if isinstance(leaf, str):
            text = without_thousands(leaf)
            if match := _PLAIN.fullmatch(text) or _LEADING.match(text):
                yield name, float(match[1])
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            large = isinstance(leaf, int) and abs(leaf) > 1e300  # more digits than a float can hold
            yield name, math.copysign(math.inf, leaf) if large else float(leaf)


def no_figures(value: object) -> Iterator[tuple[str, object]]:
    """What stands in a value of submission.json where a number belongs, by its name, and is none.

    Null and what people write for "not measured yet" are no claims.
    """
    for name, leaf in _leaves(value):
        if leaf is None or not _FIELDS.fullmatch(name.lower()):
            continue
        if isinstance(leaf, str):
            if _OPEN.fullmatch(leaf) or _BEGINS.match(without_thousands(leaf)):
                continue
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            continue
        yield name, leaf


def without_thousands(text: str) -> str:
    """A number's text without the commas between its thousands; a decimal comma stays, and makes it no number."""
    return _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)


def _leaves(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Everything that holds nothing else, with the name it goes by; of an empty list or object, itself.

    Seeds and places in a list are no names: what lies under them goes by the name above.
    """
    if depth > 40:  # no claim lies so deep
        return
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            plain = re.fullmatch(r"(seed)?_?\d+|mean|exact", str(key).lower())
            yield from _leaves(inner, name if plain and name else str(key), depth + 1)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _leaves(inner, name, depth + 1)
    else:
        yield name, value

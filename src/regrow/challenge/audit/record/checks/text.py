"""What was scored: the tokenizer, the text behind it, and whether that text travelled in the artifact."""

from __future__ import annotations

import re
from collections.abc import Iterator

from regrow.challenge.audit.record.check import Found, check
from regrow.challenge.audit.record.record import Record

_FOLDED = re.compile(r"case[-_ ]?fold", re.IGNORECASE)
_LOSSY = re.compile(r"case[-_ ]?fold|lower[-_ ]?cased?|uncased|nfkc", re.IGNORECASE)
_STORED = re.compile(
    r"paid[-_ ]?prefix|(?:compressed|stored?|embed(?:ded)?|packed|lzma\w*)\W+val(?:idation)?[-_ ]tokens?"
    r"|val(?:idation)?[-_ ]tokens?\W+(?:are\W+)?(?:stored|embedded|packed|inside|in)\W+(?:in\W+)?the\W+artifact",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:no|not|without|never|nor|don't|does not)\b[^.]{0,40}$", re.IGNORECASE)


@check(
    "vocabulary-smaller-than-tokenizer",
    "The model's vocabulary is smaller than the tokenizer's",
    why="A target the model cannot predict must cost infinitely many bits, not those of another token.",
    clears="A log whose model vocabulary is the tokenizer's.",
)
def smaller_vocabulary(record: Record) -> Iterator[Found]:
    for log in record.logs:
        if log.tokenizer is None or "vocab_size" not in log.settings:
            continue
        named = re.search(r"_(\d{3,6})_bpe", log.tokenizer[1])
        line, text = log.settings["vocab_size"]
        if named and text.isdigit() and int(text) < int(named[1]):
            message = (
                f"The model's vocabulary is {text}, the tokenizer's {named[1]}: targets above {text} cannot be "
                "predicted, so they were clamped or dropped."
            )
            evidence = f"{line}: vocab_size {text}\n{log.tokenizer[0]}: {log.tokenizer[1]}"
            yield Found("high", "medium", log.path, line, message, evidence)
            return


@check(
    "text-folded",
    "The scored text is a lossy image of the text",
    why="Upper and lower case are information; a code that drops it does not code the text.",
    clears="A tokenizer whose decoding gives back the validation documents, byte for byte.",
)
def folded(record: Record) -> Iterator[Found]:
    for log in record.logs:
        if log.tokenizer and (match := _LOSSY.search(log.tokenizer[1])):
            message = (
                f"The text was folded before it was scored ('{match[0]}'): what is predicted is not the text whose "
                "bytes are counted."
            )
            yield Found("high", "medium", log.path, log.tokenizer[0], message, log.tokenizer[1])
            return
    claims = record.claims
    name = f"{claims.values.get('name', '')} {claims.values.get('tokenizer', '')}"
    if match := _FOLDED.search(name):
        line, text = claims.line(match[0])
        message = (
            f"The submission says of its text '{match[0]}': folding loses bytes that the figure still counts."
        )
        yield Found("medium", "medium", claims.path, line, message, text)


@check(
    "validation-text-in-artifact",
    "Validation text is stored in the artifact",
    why="Reading out the answer is not predicting it.",
    clears="An artifact made from training data alone.",
)
def stored(record: Record) -> Iterator[Found]:
    lead, claims = record.headline, record.claims
    said = [
        (page.path, number, line.strip()[:300])
        for page in (claims, record.readme)
        for number, line in page.lines()
        if (match := _STORED.search(line)) and not _DENIAL.search(line[: match.start()])
    ]
    if not said:
        return
    zero = lead is not None and lead.loss is not None and claims.values.get("val_loss") == 0
    path, number, _ = said[0]
    grave = zero or (len(said) > 1 and path == claims.path)
    message = "The submission says that validation tokens are stored in its artifact"
    message += ", and states a loss of 0." if zero else "."
    evidence = "\n".join(f"{n}: {t}" for _, n, t in said[:3])
    yield Found("high" if grave else "medium", "medium", path, number, message, evidence)


CHECKS = (smaller_vocabulary, folded, stored)

"""What was scored: the tokenizer, the text behind it, and whether that text travelled in the artifact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from regrow.challenge.audit.finding import Finding
from regrow.challenge.audit.record.records import Check, Record, headline

_LOSSY = re.compile(r"case[-_ ]?fold|lower[-_ ]?cased?|uncased|nfkc", re.IGNORECASE)
_STORED = re.compile(
    r"paid[-_ ]?prefix|(?:compressed|stored?|embed(?:ded)?|packed|lzma\w*)\W+val(?:idation)?[-_ ]tokens?"
    r"|val(?:idation)?[-_ "
    r"]tokens?\W+(?:are\W+)?(?:stored|embedded|packed|inside|in)\W+(?:in\W+)?the\W+artifact",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\b(?:no|not|without|never|nor|don't|does not)\b[^.]{0,40}$", re.IGNORECASE)


def _clamped(record: Record) -> Iterator[Finding]:
    for log in record.logs:
        if log.tokenizer is None or "vocab_size" not in log.settings:
            continue
        named = re.search(r"_(\d{3,6})_bpe", log.tokenizer[1])
        line, text = log.settings["vocab_size"]
        if named and text.isdigit() and int(text) < int(named[1]):
            yield CLAMPED.finding(
                "high",
                "medium",
                (log.path, line),
                f"The model's vocabulary is {text}, the tokenizer's {named[1]}: targets above {text} cannot "
                "be predicted, so they "
                "were clamped or dropped.",
                f"{line}: vocab_size {text}\n{log.tokenizer[0]}: {log.tokenizer[1]}",
            )
            return


def _lossy(record: Record) -> Iterator[Finding]:
    for log in record.logs:
        if log.tokenizer and (match := _LOSSY.search(log.tokenizer[1])):
            yield LOSSY.finding(
                "high",
                "medium",
                (log.path, log.tokenizer[0]),
                f"The text was folded before it was scored ('{match[0]}'): what is predicted is not the text "
                "whose bytes are counted.",
                log.tokenizer[1],
            )
            return
    name = str(record.claims.get("name", "")) + " " + str(record.claims.get("tokenizer", ""))
    if match := re.search(r"case[-_ ]?fold", name, re.IGNORECASE):
        line, text = record.claim_line(match[0])
        yield LOSSY.finding(
            "medium",
            "medium",
            (record.claims_path, line),
            f"The submission says of its text '{match[0]}': folding loses bytes that the figure still "
            "counts.",
            text,
        )


def _stored(record: Record) -> Iterator[Finding]:
    said: list[tuple[Path | None, int, str]] = []
    for path, text in ((record.claims_path, record.claims_text), (record.readme_path, record.readme)):
        for number, line in enumerate(text.splitlines(), start=1):
            match = _STORED.search(line)
            if match and not _DENIAL.search(line[: match.start()]):
                said.append((path, number, line.strip()[:300]))
    lead = headline(record)
    zero = (
        lead is not None
        and lead.loss is not None
        and record.claims.get("val_loss") in (0, 0.0)
        and lead.bpb > 0
    )
    if not said:
        return
    path, number, text = said[0]
    yield STORED.finding(
        "high" if zero or (len(said) > 1 and path == record.claims_path) else "medium",
        "medium",
        (path, number),
        "The submission says that validation tokens are stored in its artifact"
        + (", and states a loss of 0." if zero else "."),
        "\n".join(f"{n}: {t}" for _, n, t in said[:3]),
    )


CLAMPED = Check(
    "vocabulary-smaller-than-tokenizer",
    "The model's vocabulary is smaller than the tokenizer's",
    "A target the model cannot predict must cost infinitely many bits, not those of another token.",
    "A log whose model vocabulary is the tokenizer's.",
    _clamped,
)
LOSSY = Check(
    "text-folded",
    "The scored text is a lossy image of the text",
    "Upper and lower case are information; a code that drops it does not code the text.",
    "A tokenizer whose decoding gives back the validation documents, byte for byte.",
    _lossy,
)
STORED = Check(
    "validation-text-in-artifact",
    "Validation text is stored in the artifact",
    "Reading out the answer is not predicting it.",
    "An artifact made from training data alone.",
    _stored,
)
CHECKS = (CLAMPED, LOSSY, STORED)

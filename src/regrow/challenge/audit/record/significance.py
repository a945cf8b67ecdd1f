"""Whether the seeds of a record beat the baseline that its submission.json names, by the step a record needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from regrow.challenge.audit.record.claims import number
from regrow.challenge.audit.record.record import Record
from regrow.challenge.facts import EXPORTS
from regrow.challenge.significance import bytes_per_token, one_sided_p, record_bar


@dataclass(frozen=True)
class Significance:
    """A one-sided t test of some runs against a bar, bits per byte; `p` is None where it says nothing."""

    values: list[float]
    bar: float
    p: float | None


def significance(record: Record) -> Significance | None:
    """Test the headline's runs; None where fewer than two are known or no baseline is named."""
    lead = record.headline
    baseline = next(
        (
            value
            for key, raw in record.claims.values.items()
            if re.search(r"baseline|prior|previous|comparison|sota", key) and "bpb" in key
            if (value := number(raw)) is not None and 0.5 < value < 5
        ),
        None,
    )
    if baseline is None or len(record.figures) < 2 or lead is None:
        return None
    ratio = bytes_per_token(lead.loss, lead.bpb) if lead.loss else EXPORTS["sp1024"].bytes_per_token
    bar = record_bar(baseline, ratio)
    return Significance(record.figures, bar, one_sided_p(record.figures, bar))

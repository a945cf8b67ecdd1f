"""The probes, one a file; `PROBES` is their order in a report."""

from __future__ import annotations

from regrow.challenge.audit.probe import (
    change_future,
    change_target,
    code_length,
    count_bytes,
    permute_documents,
    predict_twice,
    score_twice,
    sum_over_vocabulary,
)
from regrow.challenge.audit.probe.probe import Probe

PROBES: tuple[Probe, ...] = (
    sum_over_vocabulary.PROBE,
    change_target.PROBE,
    change_future.PROBE,
    predict_twice.PROBE,
    score_twice.PROBE,
    code_length.PROBE,
    permute_documents.PROBE,
    count_bytes.PROBE,
)

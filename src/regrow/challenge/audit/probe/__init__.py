"""The probes, one a file; `PROBES` is their order in a report."""

from __future__ import annotations

from regrow.challenge.audit.probe.change_future import change_future
from regrow.challenge.audit.probe.change_target import change_target
from regrow.challenge.audit.probe.code_length import code_length
from regrow.challenge.audit.probe.count_bytes import count_bytes
from regrow.challenge.audit.probe.permute_documents import permute_documents
from regrow.challenge.audit.probe.predict_twice import predict_twice
from regrow.challenge.audit.probe.probe import Probe
from regrow.challenge.audit.probe.score_twice import score_twice
from regrow.challenge.audit.probe.sum_over_vocabulary import sum_over_vocabulary

PROBES: tuple[Probe, ...] = (
    sum_over_vocabulary, change_target, change_future, predict_twice, score_twice, code_length, permute_documents,
    count_bytes,
)  # fmt: skip

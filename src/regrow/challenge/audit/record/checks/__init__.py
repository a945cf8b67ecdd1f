"""Questions put to a submission's record: its claims, its README, its logs, its sizes."""

from __future__ import annotations

from regrow.challenge.audit.record.check import Check
from regrow.challenge.audit.record.checks import bytes_per_token, claims, headline, seeds, sizes, text, times

#: Every check of a record, in the order of a report.
CHECKS: tuple[Check, ...] = (
    *headline.CHECKS, *seeds.CHECKS, *claims.CHECKS, *bytes_per_token.CHECKS, *sizes.CHECKS, *text.CHECKS,
    *times.CHECKS,
)  # fmt: skip

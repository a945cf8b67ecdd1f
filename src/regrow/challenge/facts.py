"""What parameter-golf lays down, each number once; for `regrow audit` and `regrow submit` alike."""

from __future__ import annotations

from typing import NamedTuple

#: Code plus compressed model, in decimal bytes.
LIMIT_BYTES = 16_000_000

#: Seconds of training, and of evaluation, on the record track; the step that passes the limit may be finished.
LIMIT_SECONDS = 600.0
GRACE = 1.01

#: Nats per token by which a record must beat the one before it, and the p-value it must reach.
RECORD_STEP_NATS = 0.005
RECORD_P = 0.01

#: Bits per byte of the best legal entry when the challenge closed.
BEST_LEGAL_BPB = 1.06

#: Bytes of the validation text (the first 50,000 documents), and of the export in use before 2026-03-18.
VALIDATION_BYTES = 151.08e6
EARLIER_VALIDATION_BYTES = 155.77e6


class Export(NamedTuple):
    """One export of the validation text: tokens with BOS, and the bytes per token they must give."""

    tokens: int
    bytes_per_token: float


EXPORTS: dict[str, Export] = {
    "sp1024": Export(62_021_632, 2.436),
    "sp4096": Export(45_508_608, 3.320),
    "sp8192": Export(40_540_160, 3.727),
    "sp8192 CaseOps": Export(47_851_520, 3.157),
    "bytes": Export(151_130_112, 1.0),
}

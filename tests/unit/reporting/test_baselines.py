"""Other compressors beside ours: real sizes of the text at hand."""

from __future__ import annotations

import gzip

from regrow.report.baselines import baseline_bpb


def test_bits_per_byte_are_those_of_the_compressors() -> None:
    text = b"the union of the states and the state of the union, " * 50
    found = baseline_bpb(text)
    assert {"gzip -9", "bzip2 -9", "xz -9e"} <= set(found)
    assert found["gzip -9"] == 8 * len(gzip.compress(text, 9)) / len(text)
    assert all(0 < bpb < 2 for bpb in found.values())

"""The 26 ways in which a published bits-per-byte figure was wrong, and what of the audit finds each.

Rules say themselves which kinds they cover (`Rule.cases`); record checks and probes are named here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One way to be wrong."""

    number: int  # its number in the project's list, from 1
    what: str  # what was done, in a few words
    checks: tuple[str, ...] = ()  # record checks that show it
    probes: tuple[str, ...] = ()  # probes that show it


_NO_ROW = ("sum-over-vocabulary", "change-target", "code-length")
_EARLY = ("change-target", "change-future")

KINDS: tuple[Kind, ...] = (
    Kind(1, "a joint count read from a hash, for the target alone", ("below-known-floor",), _NO_ROW),
    Kind(2, "joint over context count, the target in the hash key", ("below-known-floor",), _NO_ROW),
    Kind(3, "all tokens gathered, and divided by the wrong sum", ("below-known-floor",), _NO_ROW),
    Kind(4, "a Dirichlet posterior over hashed counts", ("below-known-floor",), _NO_ROW),
    Kind(5, "a learned gate over packed hashed tables", ("below-known-floor",), _NO_ROW),
    Kind(6, "the better of two models, chosen by the target", (), ("sum-over-vocabulary", "change-target")),
    Kind(7, "the leading space counted twice", ("bytes-per-token",), ("count-bytes",)),
    Kind(8, "a marker of spaces that the vocabulary does not use", ("bytes-per-token",), ("count-bytes",)),
    Kind(9, "U+FFFD counted for a lone byte", ("bytes-per-token",), ("count-bytes",)),
    Kind(10, "a vocabulary without a lone U+2581", ("bytes-per-token",), ("count-bytes",)),
    Kind(
        11,
        "targets clamped to a smaller vocabulary",
        ("vocabulary-smaller-than-tokenizer",),
        ("count-bytes",),
    ),
    Kind(12, "case folded away", ("text-folded",)),
    Kind(13, "the byte sidecar off while the text is transformed", ("bytes-per-token",), ("count-bytes",)),
    Kind(14, "a part of the validation set", ("validation-set-in-part",)),
    Kind(15, "training text that overlaps the validation text", ()),
    Kind(16, "training on validation text", (), _EARLY),
    Kind(17, "an offset optimised on the targets it then scores", (), _EARLY),
    Kind(18, "hints gated by a property of the target", (), ("change-target", "sum-over-vocabulary")),
    Kind(
        19,
        "a token's probability spread over its bytes as p^(1/n)",
        (),
        ("sum-over-vocabulary", "code-length"),
    ),
    Kind(20, "state that leaks across documents", (), ("permute-documents",)),
    Kind(21, "text scored again after the model has learned it", (), ("score-twice",)),
    Kind(
        22,
        "over the cap, or code left out of the count",
        ("over-the-cap", "code-not-counted", "size-not-as-logged"),
    ),
    Kind(23, "a figure from another path of the code", ("headline-untraced", "headline-before-packing")),
    Kind(
        24,
        "seeds or settings mixed in one mean",
        ("settings-mixed", "headline-not-the-mean", "seed-counted-twice"),
    ),
    Kind(25, "a quantiser calibrated on validation text"),
    Kind(26, "validation text inside the artifact", ("validation-text-in-artifact",)),
)

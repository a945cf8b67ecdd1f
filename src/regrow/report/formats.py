"""Numbers as readers meet them. What was not run has no number, and says so."""

from __future__ import annotations

NOT_RUN = "not run"


def count(value: float | None) -> str:
    """A whole number, thousands grouped."""
    return NOT_RUN if value is None else f"{value:,.0f}"


def bits(value: float | None) -> str:
    """Bits per byte, four decimals."""
    return NOT_RUN if value is None else f"{value:.4f}"


def seconds(value: float | None, *, minutes: bool = True) -> str:
    """Seconds with as many decimals as matter; from two minutes on `minutes` beside them."""
    if value is None:
        return NOT_RUN
    if value >= 120 and minutes:
        return f"{value:,.0f} s ({round(value) // 60:,} min {round(value) % 60:02d} s)"
    return f"{value:,.0f} s" if value >= 20 else f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def percent(part: float | None, whole: float | None, decimals: int = 1) -> str:
    """`part` of `whole`; empty if either is missing."""
    return "" if part is None or not whole else f"{100 * part / whole:.{decimals}f} %"


def size(value: float) -> str:
    """Decimal bytes in three digits: 3.87 MB, 412 kB, 96 B."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            scaled = value / scale
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {unit}"
    return f"{value:.0f} B"

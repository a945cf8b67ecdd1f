"""Exact inference: between token and frequency table integers alone, as docs/exact.md has it. No torch."""

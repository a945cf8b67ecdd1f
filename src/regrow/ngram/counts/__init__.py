"""Exact counts: keys, sorted runs, merging, levels."""

"""Judging other people's figures: rules over source, record checks, probes, a verdict."""

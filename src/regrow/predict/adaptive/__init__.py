"""Adaptive prediction: what can be learned from text that has been scored already."""

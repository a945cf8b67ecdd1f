"""The page about a run, and the ledger in words."""

from __future__ import annotations

from regrow.reporting.page import write_report
from regrow.reporting.passage import load_passage, save_passage

__all__ = ["load_passage", "save_passage", "write_report"]

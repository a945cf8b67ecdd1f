"""The page about a run, and the ledger in words."""

"""Data flow: a script walked on abstract values, as it would run."""

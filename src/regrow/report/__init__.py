"""The page about runs (`page.py`), and what `regrow inspect` prints."""

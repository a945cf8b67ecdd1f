"""Settings of the whole test suite."""

from __future__ import annotations

from hypothesis import settings

# The same examples everywhere, and no clock: a busy machine must not turn a true property into a failure.
settings.register_profile("regrow", deadline=None, derandomize=True, database=None)
settings.load_profile("regrow")

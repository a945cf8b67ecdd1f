"""Stands in for numba.extending: what compiled code could call is plain Python."""

from __future__ import annotations

from typing import Any


def register_jitable(*given: Any, **options: Any) -> Any:
    """The function itself, as a bare decorator or with options."""
    if given:
        return given[0]
    return lambda function: function

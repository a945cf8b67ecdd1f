"""The rules, one a file. A rule is registered by standing in `RULES`; its page in the docs is generated from it."""

from __future__ import annotations

from regrow.auditing.finding import Rule
from regrow.auditing.rules import (
    offset_on_scored_targets,
    rescored_after_adapting,
    target_in_hash_key,
    train_on_validation,
)

RULES: tuple[Rule, ...] = tuple(
    module.RULE
    for module in (
        target_in_hash_key,
        train_on_validation,
        offset_on_scored_targets,
        rescored_after_adapting,
    )
)

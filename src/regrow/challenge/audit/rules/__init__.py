"""The rules, one a file. A rule is registered by standing in `RULES`; its page in the docs is generated from
it."""

from __future__ import annotations

from regrow.challenge.audit.finding import Rule
from regrow.challenge.audit.rules import (
    better_of_two,
    byte_spreading,
    byte_table,
    calibrated_on_validation,
    document_leak,
    lossy_text,
    native_code,
    offset_on_scored_targets,
    partial_validation,
    rescored_after_adapting,
    sidecar_off,
    target_dependent_gate,
    target_in_hash_key,
    train_on_validation,
    validation_in_artifact,
    vocabulary_clamp,
)

RULES: tuple[Rule, ...] = tuple(
    module.RULE
    for module in (
        target_in_hash_key,
        train_on_validation,
        offset_on_scored_targets,
        rescored_after_adapting,
        better_of_two,
        byte_spreading,
        byte_table,
        calibrated_on_validation,
        document_leak,
        lossy_text,
        native_code,
        partial_validation,
        sidecar_off,
        target_dependent_gate,
        validation_in_artifact,
        vocabulary_clamp,
    )
)

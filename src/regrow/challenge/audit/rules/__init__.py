"""The rules, one a file, named by their ids."""

from __future__ import annotations

from regrow.challenge.audit.rule import Rule
from regrow.challenge.audit.rules import (
    better_of_two,
    byte_count,
    byte_sidecar_off,
    byte_spreading,
    calibrated_on_validation,
    lossy_text,
    offset_on_scored_targets,
    partial_validation,
    rescored_after_adapting,
    state_across_documents,
    target_dependent_gate,
    target_in_hash_key,
    target_in_native_code,
    targets_clamped,
    train_on_validation,
    validation_in_artifact,
)

RULES: tuple[Rule, ...] = (
    target_in_hash_key.RULE,
    train_on_validation.RULE,
    offset_on_scored_targets.RULE,
    rescored_after_adapting.RULE,
    better_of_two.RULE,
    byte_spreading.RULE,
    byte_count.RULE,
    calibrated_on_validation.RULE,
    state_across_documents.RULE,
    lossy_text.RULE,
    target_in_native_code.RULE,
    partial_validation.RULE,
    byte_sidecar_off.RULE,
    target_dependent_gate.RULE,
    validation_in_artifact.RULE,
    targets_clamped.RULE,
)

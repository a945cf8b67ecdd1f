"""Any mapping is a Config or a ConfigError of one line; nothing else comes out of a user's file."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from regrow.core.config.load import config_from_dict, config_toml, parse_config
from regrow.core.config.schema import Config
from regrow.core.errors import ConfigError

SECTIONS = [field.name for field in msgspec.structs.fields(Config)]
KEYS = sorted(
    {
        inner.name
        for field in msgspec.structs.fields(Config)
        if field.name != "preset"
        for inner in msgspec.structs.fields(field.type)
    }
)
values: st.SearchStrategy[Any] = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.just({}),
)
tables = st.dictionaries(
    st.sampled_from([*SECTIONS, "other"]),
    st.one_of(values, st.dictionaries(st.sampled_from([*KEYS, "other"]), values, max_size=4)),
    max_size=4,
)


@given(tables)
def test_any_mapping_is_a_config_that_reads_back_or_one_sentence(table: dict[str, Any]) -> None:
    try:
        config = config_from_dict(table, "mine.toml")
    except ConfigError as error:
        assert str(error).startswith("mine.toml: ") and "\n" not in str(error)
    else:
        assert parse_config(config_toml(config), "again") == config


@given(st.integers(0, 10_000), st.integers(1, 64), st.floats(0, 1e6))
def test_limits_read_back_exactly(max_steps: int, sequences: int, max_seconds: float) -> None:
    train = {"max_steps": max_steps + 1, "batch_tokens": 512 * sequences, "max_seconds": max_seconds}
    config = config_from_dict({"train": train}, "mine.toml")
    assert parse_config(config_toml(config), "again").train == config.train

"""Stands in for tomli_w: `dumps` of a mapping of plain values and of one level of tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(table: Mapping[str, Any]) -> str:
    """TOML text."""
    plain = [f"{key} = {_value(value)}\n" for key, value in table.items() if not isinstance(value, Mapping)]
    tables = [
        f"[{key}]\n" + "".join(f"{k} = {_value(v)}\n" for k, v in value.items())
        for key, value in table.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([part for part in ["".join(plain)] if part] + tables)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)

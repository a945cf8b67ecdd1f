"""Reading a config: from a TOML file or a preset, changed key by key with overrides such as `train.max_steps=30`.

It is checked as a whole (`regrow.core.config.checks`) each time, so that a `Config` that came from here is one that can
run.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from regrow.core.config.checks import check
from regrow.core.config.schema import Config
from regrow.core.errors import ConfigError, readable
from regrow.core.files import is_fifo, utf8


def load_config(path: Path | str) -> Config:
    """Read a TOML file; keys it leaves out have the defaults above. ConfigError names the file and key."""
    path = Path(path)
    try:
        with readable(path, kind=ConfigError):
            if is_fifo(path):  # it would wait, maybe for ever, for somebody who writes
                raise ConfigError(f"{path}: is a FIFO; write the config to a file first.")
            text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text; a config is a TOML file.") from error
    return parse_config(text, str(path))


def parse_config(text: str, source: str) -> Config:
    """A Config from TOML text; `source` names it in errors."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: is not TOML ({str(error).lower()}).") from error
    return config_from_dict(table, source)


def config_from_dict(table: Mapping[str, Any], source: str) -> Config:
    """A checked Config from nested mappings, as TOML or a manifest hold them. Raises ConfigError."""
    _refuse_unknown_keys(table, source)
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_type_sentence(table, source, str(error))) from error
    check(config, source)
    return config


def preset_names() -> list[str]:
    """Names of the packaged presets, sorted."""
    folder = resources.files("regrow.core.config.presets")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_preset(name: str, overrides: Iterable[str] = ()) -> Config:
    """A packaged preset by name, changed by `overrides` as `apply_overrides` does. Raises ConfigError with the nearest
    name for one that does not exist."""
    if isinstance(overrides, str):  # its letters would be taken one by one
        raise ConfigError(f"overrides: give a list, such as [{overrides!r}].")
    names = preset_names()
    if name not in names:
        raise ConfigError(f"preset {name!r}: there is none of that name; {_suggestion(name, names)}.")
    text = (resources.files("regrow.core.config.presets") / f"{name}.toml").read_text(encoding="utf-8")
    config = msgspec.structs.replace(parse_config(text, f"preset {name}"), preset=name)
    return apply_overrides(config, overrides) if overrides else config


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """`config` with keys replaced, each override written `section.key=value`.

    The value is read as TOML (`30`, `0.5`, `"all"`); what is not TOML is taken as a bare string, so
    `model.seeded=all` works in a shell. All are applied before the whole is checked, so two keys that only
    fit together may come in any order. Raises ConfigError.
    """
    overrides = [utf8(override) for override in overrides]
    table = msgspec.to_builtins(config)
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        if not equals or len(keys) > 2:
            raise ConfigError(
                f"--set {override}: write it as section.key=value, for instance train.max_steps=30."
            )
        # Refused here, one at a time, so that the message can name the override that holds the mistake.
        value = _override_value(text.strip())
        nested: Any = value
        for key in reversed(keys):
            nested = {key: nested}
        _refuse_unknown_keys(nested, f"--set {override}")
        if len(keys) == 2:
            table[keys[0]][keys[1]] = value
        else:
            table[keys[0]] = value
    return config_from_dict(table, "--set " + " --set ".join(overrides) if overrides else "config")


def config_toml(config: Config) -> str:
    """`config` as TOML text with every key written out; reading it back gives an equal Config."""
    return tomli_w.dumps(msgspec.to_builtins(config))


def _override_value(text: str) -> Any:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text  # a second line is no second key


def _refuse_unknown_keys(table: Mapping[str, Any], source: str) -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    everywhere = {
        key: f"{section}.{key}"
        for section, kind in sections.items()
        if section != "preset"
        for key in _keys(kind)
    }
    for name, value in table.items():
        if name not in sections:
            hint = (
                f"did you mean {everywhere[name]}"
                if name in everywhere
                else _suggestion(name, list(sections))
            )
            raise ConfigError(f"{source}: unknown key {name}; {hint}.")
        if not isinstance(value, Mapping):
            continue
        for key in value:
            if name != "preset" and key not in _keys(sections[name]):
                own = _keys(sections[name])
                near = difflib.get_close_matches(key, own, n=1)
                elsewhere = key in everywhere and not near
                hint = f"did you mean {everywhere[key]}" if elsewhere else _suggestion(key, own, f"{name}.")
                raise ConfigError(f"{source}: unknown key {name}.{key}; {hint}.")


def _keys(section: Any) -> list[str]:
    return list(section.__struct_fields__)  # `msgspec.structs.fields` reads types, too: 20 ms of a start


def _suggestion(name: str, valid: list[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}" if near else "valid are " + ", ".join(valid)


def _type_sentence(table: Mapping[str, Any], source: str, message: str) -> str:
    """msgspec says what it expected and where (`$.train.max_steps`); we add what stands there."""
    expected, _, where = message.partition(" - at ")
    path = re.sub(r"^\$\.?", "", where.strip("`"))
    key = path.partition("[")[0]  # of a list, all of it is shown
    value: Any = table
    for part in key.split(".") if key else []:
        value = value.get(part) if isinstance(value, Mapping) else None
    wanted = re.sub(r", got .*$", "", expected).replace("Expected", "expected").replace("`", "")
    wanted = wanted.replace("expected object", "expected a table of keys")
    if wanted.startswith("Invalid enum value"):
        options = _choices(key)
        wanted = f"expected one of {options}" if options else "expected another word"
    if path != key:
        wanted += " in each place"
    return f"{source}: {key or 'the file'} is {value!r}, {wanted}."


def _choices(key: str) -> str:
    section, _, name = key.partition(".")
    for field in msgspec.structs.fields(Config):
        if field.name == section:
            for inner in msgspec.structs.fields(field.type):
                if inner.name == name:
                    return ", ".join(repr(option) for option in getattr(inner.type, "__args__", ()))
    return ""

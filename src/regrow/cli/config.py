"""`regrow config`: presets and config files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from regrow.cli.options import Json, Overrides, Quiet, argument
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError


class Action(StrEnum):
    """What to do with presets and files."""

    list = "list"
    show = "show"
    check = "check"
    schema = "schema"


def command(
    action: Annotated[
        Action,
        argument("ACTION", "List the presets, show a whole config, check one, or print a JSON schema."),
    ] = (Action.list),
    name: Annotated[
        str | None,
        argument(
            "PRESET|FILE|SCHEMA",
            "For show and check a preset or a file; for schema what it is of: config (the default), result "
            "(result.json), audit (what audit --json prints) or error (what a mistake prints with --json).",
        ),
    ] = None,
    overrides: Overrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List, show or check configs; print JSON schemas.

    The schemas are those of docs/schemas.
    """
    with command_output(json, quiet) as output:
        if action is Action.schema:
            _schema(name or "config", overrides, output)
            return
        from regrow.core.config.load import (
            apply_overrides,
            config_toml,
            load_config,
            load_preset,
            preset_names,
        )

        if action is Action.list:
            if name is not None or overrides:
                raise ConfigError(
                    "`regrow config list` takes nothing more; `regrow config show NAME` shows one."
                )
            output.result({"presets": preset_names()})
            output.line("\n".join(preset_names()))
            return
        if name is None:
            raise ConfigError(
                f"`regrow config {action}` needs a preset ({', '.join(preset_names())}) or a file."
            )
        # A preset goes by its bare name; a file has a suffix or a folder.
        is_file = name.endswith(".toml") or "/" in name
        config = load_config(Path(name)) if is_file else load_preset(name)
        config = apply_overrides(config, overrides or [])
        if action is Action.show:
            output.result(config)
            output.line(config_toml(config).rstrip())
        else:
            output.result({"config": name, "ok": True})
            output.line(f"{name}: fine")


def _schema(name: str, overrides: list[str] | None, output: Output) -> None:
    import json

    from regrow.cli.schemas import NAMES, schema

    if name not in NAMES or overrides:
        raise ConfigError(f"`regrow config schema` takes one of {', '.join(NAMES)}, and no --set.")
    made = schema(name)
    output.result(made)
    output.line(json.dumps(made, indent=1))

"""Write docs/cli.md from the commands' own help: `python docs/make_cli.py`. A test holds the two together."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from regrow.cli import main
from regrow.cli.app import COMMANDS

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# The command line

This page is made from `--help` by `python docs/make_cli.py`; change the commands, not the page.

Exit codes: 0 fine, 1 a negative verdict (a failed proof, over budget), 2 the user's or the tool's error, 130
interrupted, 141 nobody reads the output any more (`| head`), 143 or 129 ended by SIGTERM or SIGHUP. Errors are one
line on standard error; with `--json` also an object on standard output: `error` (the sentence), `exit_code`, and where
they are known `file`, `field` (an option, or a key of the config) and `fix`.

[`schemas/`](schemas) has JSON schemas of configs, `result.json`, what `regrow audit --json` prints and errors;
`regrow config schema NAME` prints them. An editor that knows TOML schemas (Taplo, Even Better TOML) checks and
completes a config that begins with `#:schema PATH/TO/docs/schemas/config.json`.

Files that a command is told to write (`-o`, `--out`, `--sarif`) appear whole or not at all, and one that cannot be
written is refused before work begins. One that is there already is replaced with `-f`; without it a terminal is asked,
and elsewhere the command ends. What the command reads is never written, by whatever name or link. A link stays a link,
and a device, a FIFO or `/dev/stdout` is written through.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *(_section(name) for name in ["", *COMMANDS])])


def _section(name: str) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        main([*name.split(), "--help"])
    lines = (line.rstrip() for line in text.getvalue().strip().splitlines())
    return "\n".join([f"## {f'regrow {name}'.strip()}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

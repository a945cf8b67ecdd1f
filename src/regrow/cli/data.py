"""`regrow data`: text becomes a folder of tokens."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrow.cli.options import Json, Overrides, Quiet, argument, flag, option
from regrow.cli.output import command_output
from regrow.core.errors import ConfigError
from regrow.core.files import confirm_replacing, utf8

if TYPE_CHECKING:
    from regrow.core.progress import Progress
    from regrow.data.readers import ReadAs

FINEWEB = "fineweb"


class FileKind(StrEnum):
    """How a file is read."""

    text = "text"
    lines = "lines"
    jsonl = "jsonl"
    parquet = "parquet"


AsKind = Annotated[
    FileKind | None,
    typer.Option("--as", help="Read every file so, whatever its name or format."),
]
TextField = Annotated[str, option("NAME", "The field, or column, that holds the text.")]


def command(
    sources: Annotated[
        list[str],
        argument(
            "SOURCE",
            "Text, JSONL or Parquet files (.gz, .xz, .zst) or folders; - for standard input; URLs; sotu; fineweb; .bin "
            "shards or their folder.",
        ),
    ],
    out: Annotated[Path, option("DIR", "The folder to make.", "--out")],
    variant: Annotated[str | None, option("NAME", "Which FineWeb, sp1024 for instance.")] = None,
    train_shards: Annotated[
        int | None, option("N", "How many training shards of FineWeb.  [default: 80]", min=1, max=10**6)
    ] = None,
    mirror: Annotated[
        Path | None, option("DIR", "A folder with the hub's layout instead of the hub.")
    ] = None,
    tokenizer: Annotated[
        Path | None, option("FILE", "The .model the shards were made with.  [default: the one with them]")
    ] = None,
    read_as: AsKind = None,
    text_field: TextField = "text",
    force: Annotated[
        bool, flag("Replace a folder of other data that is there already.", "--force", "-f")
    ] = False,
    overrides: Overrides = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn text, or parameter-golf shards, into a folder of tokens.

    The folder holds the tokenizer, the train and validation tokens, and val.txt, the raw held-out bytes.

    Says which files were read and what was left out; the latter stands in data.json too, under "notes".

    An interrupted build resumes when the same command is given again.
    """
    with command_output(json, quiet) as output:
        import msgspec

        from regrow.data.readers import ReadAs

        how = ReadAs(read_as and read_as.value, utf8(text_field))
        of_shards = (variant, train_shards, mirror, tokenizer)
        _keep_other_data(out, sources, variant, force)
        _build(sources, out, of_shards, how, overrides or [], output.progress)
        summary = msgspec.json.decode((out / "data.json").read_bytes())
        output.result(summary)
        output.line(f"data    {out}")


def _keep_other_data(out: Path, sources: list[str], variant: str | None, force: bool) -> None:
    """A folder is made anew from its own source unasked; that of another source is somebody's, and needs `force`."""
    import json

    from regrow.data.sources import source_name

    try:
        found = json.loads((out / "data.json").read_bytes())["name"]
    except (OSError, ValueError, TypeError, LookupError):
        return  # none is there, or what cannot be used
    # Shards bear the name of their folder.
    own = {source_name(sources), source_name([str(Path(sources[0]).resolve().parent)])}
    if found not in {*own, f"{FINEWEB}-{variant or 'sp1024'}"}:
        confirm_replacing(out, f"holds the data of {found}", force=force)


def _build(
    sources: list[str],
    out: Path,
    of_shards: tuple[str | None, int | None, Path | None, Path | None],
    read_as: ReadAs,
    overrides: list[str],
    progress: Progress,
) -> None:
    from regrow.core.config.load import apply_overrides
    from regrow.core.config.schema import Config
    from regrow.data.build import build_dataset
    from regrow.data.readers import ReadAs
    from regrow.data.shards.conversion import build_from_shards
    from regrow.data.shards.format import is_shards
    from regrow.data.shards.hub import TRAIN_SHARDS, HuggingFace, Mirror, fetch_fineweb
    from regrow.data.sotu import NAMES as CORPORA
    from regrow.data.spooled import local_sources

    variant, train_shards, mirror, tokenizer = of_shards
    config = apply_overrides(Config(), overrides)
    fineweb, shards = sources == [FINEWEB], all(is_shards(source) for source in sources)
    named = fineweb or (len(sources) == 1 and sources[0] in CORPORA)
    if (fineweb or shards) and overrides:
        raise ConfigError("--set: shards come with their own vocabulary and held-out text; leave it out.")
    if (named or shards) and read_as != ReadAs():
        raise ConfigError("--as and --text-field are for texts, JSON lines and Parquet; leave them out.")
    if not fineweb and (variant, train_shards, mirror) != (None, None, None):
        raise ConfigError(
            f"--variant, --train-shards and --mirror are for the source {FINEWEB}; leave them out."
        )
    if tokenizer is not None and not shards:
        raise ConfigError("--tokenizer names the model of shards; leave it out for other sources.")
    if fineweb:
        hub = HuggingFace() if mirror is None else Mirror(mirror)
        chosen = variant or "sp1024"
        places, model = fetch_fineweb(chosen, train_shards or TRAIN_SHARDS, hub, progress)
        build_from_shards(list(map(str, places)), out, progress, tokenizer=model, name=f"fineweb-{chosen}")
    elif shards:
        build_from_shards(sources, out, progress, tokenizer=tokenizer)
    else:
        with local_sources(sources) as files:
            build_dataset(files, out, config.data, progress, read_as=read_as)

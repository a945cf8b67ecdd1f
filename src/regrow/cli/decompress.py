"""`regrow decompress`: the exact bytes that were compressed, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, Cache, EvalOverrides, Json, Quiet, array_cache, refuse_settings
from regrow.cli.output import command_output
from regrow.core.files import atomic_write_bytes, check_writable


def command(
    artifact: ArtifactFile,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `regrow compress` wrote.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="The file to write.", show_default=False)
    ],
    ttt: Annotated[
        bool | None,
        typer.Option(
            "--ttt/--no-ttt",
            help="Refuse a stream that was made without (or with) --ttt.  [default: as the stream says]",
            show_default=False,
        ),
    ] = None,
    settings: EvalOverrides = None,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring back what was compressed.

    A wrong artifact or a damaged stream is an error, never wrong text.
    """
    refuse_settings(settings, ttt)
    with command_output(json, quiet) as output:
        check_writable(out)
        stream = file.read_bytes()

        from regrow.predict.adaptive.settings import adaptive_settings
        from regrow.predict.codec import Codec, Expected

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        expected: Expected = "any"
        if ttt is not None:
            expected = adaptive_settings(codec.config, settings or True) if ttt else "fixed"
        raw = codec.decode(stream, output.progress, expected=expected)
        atomic_write_bytes(out, raw)
        output.result({"out": out, "raw_bytes": len(raw), "stream_bytes": len(stream)})
        output.line(f"{out}: {len(raw):,} bytes")

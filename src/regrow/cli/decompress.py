"""`regrow decompress`: the exact bytes that were compressed, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli.options import ArtifactFile, Json, Quiet
from regrow.cli.output import speaking


def command(
    artifact: ArtifactFile,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `regrow compress` wrote.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="The file to write.", show_default=False)
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring back what was compressed.

    A wrong artifact or a damaged stream is an error, never wrong text.
    """
    with speaking(json, quiet) as output:
        stream = file.read_bytes()

        from regrow.codec import decompress
        from regrow.files import atomic_write_bytes

        raw = decompress(artifact, stream, output.progress)
        atomic_write_bytes(out, raw)
        output.result({"out": out, "raw_bytes": len(raw), "stream_bytes": len(stream)})
        output.line(f"{out}: {len(raw):,} bytes")

"""`regrow inspect`: the bytes of an artifact by component, its config, its seeds and its hashes; or of a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from regrow.cli.options import Json, Quiet, argument, artifact_in_run
from regrow.cli.output import command_output


def command(
    file: Annotated[
        Path,
        argument(
            "FILE",
            "An artifact.safetensors, the folder of a run, or what `regrow compress` wrote.",
            callback=artifact_in_run,
        ),
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what an artifact or a compressed stream is made of.

    Of an artifact: its bytes by component, the config, the seeds, the base hashes, and the memory's counts_sha256. Of
    a stream: its sizes, and which artifact decodes it.
    """
    with command_output(json, quiet) as output:
        from regrow.report.inspect import describe

        found = describe(file)
        output.result(found)
        output.tree(found)

"""`regrow inspect`: every byte of an artifact and its owner, its config, its seeds and its hashes."""

from __future__ import annotations

from regrow.cli.options import ArtifactFile, Json, Quiet
from regrow.cli.output import command_output


def command(artifact: ArtifactFile, json: Json = False, quiet: Quiet = False) -> None:
    """Show every byte and its owner.

    Then the config, the seeds, the base hashes, and the memory's counts_sha256.
    """
    with command_output(json, quiet) as output:
        from regrow.report.inspect import describe

        found = describe(artifact)
        output.result(found)
        output.tree(found)

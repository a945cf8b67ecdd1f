"""`regrow compress`: the artifact as a codec, for any bytes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

from regrow.cli.destination import (
    STANDARD,
    check_source,
    check_stdout,
    destination,
    each_file,
    files_and_outputs,
    refuse_json,
    source,
)
from regrow.cli.options import (
    ArtifactFile,
    Cache,
    EvalOverrides,
    Force,
    Json,
    Keep,
    Quiet,
    Stdout,
    argument,
    array_cache,
    flag,
    option,
    refuse_settings,
)
from regrow.cli.output import command_output
from regrow.core.errors import ConfigError
from regrow.core.files import check_output

SUFFIX = ".rg"


def command(
    artifact: ArtifactFile,
    files: Annotated[
        list[Path] | None, argument("FILE", "Any files; none, or -, for standard input.")
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "OUT",
            "The stream to write; - for standard output.  [default: FILE.rg; standard output for standard input]",
            "--out",
            "-o",
        ),
    ] = None,
    stdout: Stdout = False,
    keep: Keep = True,
    force: Force = False,
    block_size: Annotated[
        int,
        option(
            "BYTES",
            "Each so many bytes are coded by themselves: smaller blocks are found and read sooner in the middle "
            "of a stream, and compress less.",
            min=1,
            max=1 << 26,
        ),
    ] = 1 << 22,
    ttt: Annotated[bool, flag("Train on the file while it is coded (test-time training).", "--ttt")] = False,
    settings: EvalOverrides = None,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress files, or standard input, with an artifact.

    Text like the training text becomes small; any other bytes come back too. Of a long input a block or two are in
    memory. FILE stays as it is; what is written has its permissions.
    """
    refuse_settings(settings, ttt)
    with command_output(json, quiet) as output:
        jobs = files_and_outputs(files, out, stdout, lambda file: file.with_name(file.name + SUFFIX))
        if any(to == STANDARD for _, to in jobs):
            refuse_json(json)
            check_stdout([artifact, *(file for file, _ in jobs)], binary=not force)
            if len(jobs) > 1:
                raise ConfigError("--stdout: two streams in one are no stream; give one FILE.")
        for file, to in jobs:
            if to != STANDARD:
                check_output(to, force=force, sources=[artifact, file])
            check_source(file)

        from regrow.predict.adaptive.settings import adaptive_settings
        from regrow.predict.codec import Codec

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        adapt = adaptive_settings(codec.config, settings or True) if ttt else None

        def work(file: Path, to: Path) -> dict[str, object]:
            with source(file) as raw:
                found = os.fstat(raw.fileno())
                regular = stat.S_ISREG(found.st_mode)
                mode = found.st_mode if regular and file != STANDARD else None
                with destination(to, force=True, sources=[artifact, file], mode=mode) as stream:
                    read, written = codec.encode_file(
                        raw,
                        stream,
                        output.progress,
                        settings=adapt,
                        total=(found.st_size or None) if regular else None,  # /proc says 0
                        block_size=block_size,
                    )
            bpb = 8 * written / read if read else None
            if to != STANDARD:
                ratio = "" if bpb is None else f", {bpb:.4f} bits per byte"
                output.line(f"{to}: {read:,} bytes became {written:,}{ratio}")
            return {"out": to, "raw_bytes": read, "stream_bytes": written, "bpb": bpb}

        each_file(jobs, work, output)

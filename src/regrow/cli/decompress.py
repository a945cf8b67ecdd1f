"""`regrow decompress`: the exact bytes that were compressed, or an error."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regrow.cli.compress import SUFFIX
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
from regrow.cli.output import Output, command_output
from regrow.core.errors import ConfigError
from regrow.core.files import check_output

if TYPE_CHECKING:
    from regrow.predict.codec import Codec, Expected


def command(
    artifact: ArtifactFile,
    files: Annotated[
        list[Path] | None, argument("FILE", "What `regrow compress` wrote; none, or -, for standard input.")
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "OUT",
            "The file to write; - for standard output.  [default: FILE without .rg; standard output for standard "
            "input]",
            "--out",
            "-o",
        ),
    ] = None,
    stdout: Stdout = False,
    test: Annotated[bool, flag("Decode and check every byte, and write nothing.", "--test", "-t")] = False,
    listed: Annotated[
        bool,
        flag(
            "List sizes, ratio, artifact and blocks without decoding; ARTIFACT may be left out.",
            "--list",
            "-l",
        ),
    ] = False,
    salvage: Annotated[
        bool,
        flag(
            "Of a damaged stream of blocks write every sound block, say what is missing, and exit with 1.",
            "--salvage",
        ),
    ] = False,
    keep: Keep = True,
    force: Force = False,
    ttt: Annotated[
        bool | None,
        typer.Option(
            "--ttt/--no-ttt",
            help="Refuse a stream that was made without (or with) --ttt.  [default: as the stream says]",
        ),
    ] = None,
    settings: EvalOverrides = None,
    cache: Cache = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring back what was compressed.

    A wrong artifact or a damaged stream is an error, never wrong text, and then no file is written; into a pipe goes
    what stands before the damage. Of a long stream one block is in memory. FILE stays as it is; what is written has
    its permissions.
    """
    refuse_settings(settings, ttt)
    if test + listed + salvage > 1:
        raise ConfigError("--test, --list and --salvage are three things; give one of them.")
    if (test or listed) and (stdout or out is not None):
        raise ConfigError("--test and --list write no file; leave out --out and --stdout.")
    with command_output(json, quiet) as output:
        if listed:
            _list([artifact, *(files or [])], output)
            return
        jobs = files_and_outputs(files, out, stdout, (lambda file: STANDARD) if test else _name_of)
        if not test and any(to == STANDARD for _, to in jobs):
            refuse_json(json)
            check_stdout([artifact, *(file for file, _ in jobs)], binary=False)
        for file, to in jobs:
            if to != STANDARD:
                check_output(to, force=force, sources=[artifact, file])
            check_source(file)

        from regrow.predict.adaptive.settings import adaptive_settings
        from regrow.predict.codec import Codec

        codec = Codec.load(artifact, cache=array_cache(cache), notice=output.progress.log)
        expected: Expected = "any"
        if ttt is not None:
            expected = adaptive_settings(codec.config, settings or True) if ttt else "fixed"
        lost: list[str] = []

        def work(file: Path, to: Path) -> dict[str, object]:
            if test:
                return _test(codec, file, expected, output)
            with source(file) as stream:
                found = os.fstat(stream.fileno())
                mode = found.st_mode if stat.S_ISREG(found.st_mode) and file != STANDARD else None
                with destination(to, force=True, sources=[artifact, file], mode=mode) as raw:
                    if salvage:
                        from regrow.predict.salvage import salvage as rescue

                        if not stream.seekable():
                            raise ConfigError("--salvage: needs a file; write the input to one first.")
                        holes, written = rescue(codec, stream, raw, output.progress, name=_shown(file))
                        lost.extend(f"{_shown(file)}: {hole}" for hole in holes)
                        more: dict[str, object] = {"stream_bytes": found.st_size, "holes": holes}
                    else:
                        read, written = codec.decode_file(
                            stream, raw, output.progress, expected=expected, name=_shown(file)
                        )
                        more = {"stream_bytes": read}
            if to != STANDARD:
                output.line(f"{to}: {written:,} bytes")
            return {"out": to, "raw_bytes": written, **more}

        each_file(jobs, work, output)
        for hole in lost:
            typer.echo(f"{hole}.", err=True)
        if lost:
            raise typer.Exit(1)


def _name_of(file: Path) -> Path:
    if file.suffix != SUFFIX or file.name == SUFFIX:
        raise ConfigError(f"{file}: does not end in {SUFFIX}; say with --out where its text goes.")
    return file.with_suffix("")


def _shown(file: Path) -> str:
    return "standard input" if file == STANDARD else str(file)


def _test(codec: Codec, file: Path, expected: Expected, output: Output) -> dict[str, object]:
    with source(file) as stream, Path(os.devnull).open("wb") as nowhere:
        read, written = codec.decode_file(
            stream, nowhere, output.progress, expected=expected, name=_shown(file)
        )
    output.line(f"{_shown(file)}: sound, {written:,} bytes")
    return {"file": file, "raw_bytes": written, "stream_bytes": read}


def _list(files: list[Path], output: Output) -> None:
    """What streams say of themselves; a first file that is no stream is the artifact, which is not needed."""
    from regrow.core.magic import STREAM, file_kind, head_of
    from regrow.report.inspect import describe_stream

    if len(files) > 1 and (files[0].is_dir() or file_kind(head_of(files[0])) != STREAM):
        files = files[1:]
    found = []
    for file in files:
        with source(file) as stream:
            if file == STANDARD or not stream.seekable():
                raise ConfigError(f"{_shown(file)}: cannot be listed; give a file.")
        found.append(describe_stream(file))
    output.result({"streams": found})
    output.table(
        [_row(each) for each in found], ("stream", "compressed", "text", "ratio", "artifact", "blocks")
    )


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    size, raw = found["stream_bytes"], found["raw_bytes"]
    blocks = ", ".join(f"{count:,} {kind}" for kind, count in found["blocks"].items() if count)
    return (
        found["stream"],
        f"{size:,}",
        "-" if raw is None else f"{raw:,}",
        f"{raw / size:.3f}" if raw else "-",
        found["artifact"],
        blocks,
    )

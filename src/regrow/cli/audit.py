"""`regrow audit`: does somebody's score mean what it says?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrow.cli.destination import STANDARD
from regrow.cli.options import Force, Json, Quiet, argument, artifact_in_run, flag, option
from regrow.core.errors import ConfigError
from regrow.core.files import check_output, is_special
from regrow.core.run_folder import ARTIFACT

if TYPE_CHECKING:
    from regrow.challenge.audit.verdict import Audit
    from regrow.cli.output import Output


class FailOn(StrEnum):
    """Severities, from the least."""

    low = "low"
    medium = "medium"
    high = "high"


def command(
    paths: Annotated[
        list[Path] | None, argument("PATH", "Scripts, submission folders, artifacts or runs.")
    ] = None,
    run: Annotated[
        Path | None,
        option(
            "SHIM", "Also probe the scorer that this shim, or artifact, drives.", callback=artifact_in_run
        ),
    ] = None,
    smoke: Annotated[bool, flag("Also import the script and take one step, on a CPU.", "--smoke")] = False,
    many: Annotated[bool, flag("PATH is a folder of submissions.", "--many")] = False,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit with 1 for a finding of this severity or above.")
    ] = FailOn.high,
    select: Annotated[
        list[str] | None,
        option(
            "RULE",
            "Judge by these rules, checks and probes alone: ids or how they begin, with commas between, or ALL.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, option("RULE", "Leave these out. Of two that fit the longer counts.")
    ] = None,
    list_rules: Annotated[
        bool, flag("List every rule, check, probe and note, and end.", "--list-rules")
    ] = False,
    explain: Annotated[
        str | None, option("RULE", "Say what a rule is about and what clears it, and end.")
    ] = None,
    sarif: Annotated[Path | None, option("FILE", "Also write the findings as SARIF.")] = None,
    out: Annotated[
        list[Path] | None, option("FILE", "Also write a table: .csv, .json or .html.", "--out", "-o")
    ] = None,
    every: Annotated[bool, flag("Also print findings of low severity.", "--all")] = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check somebody's score: clean, suspect or flagged, with the evidence.

    Reads the source without running it, and recomputes the record: bytes, bytes per token, seeds, the
    headline's line. With --run it probes the scorer itself, in a limited child process.

    Exits with 1 for a finding at or above --fail-on, or a failed probe. A finding held with low confidence
    counts as medium at most. Exits with 2 where there is nothing to audit: no claim, no figure, no script that
    scores; with --many, where that is so of every submission.
    """
    from regrow.cli.output import command_output

    with command_output(json, quiet) as output:
        if list_rules or explain is not None:
            _show_rules(explain, output)
            return
        if not paths:
            raise ConfigError("Missing argument 'PATH'; `regrow audit --help` shows the usage.")
        from regrow.challenge.audit.selection import left_out

        paths = [_subject(path) for path in paths]
        leave_out = left_out(select or [], ignore or [])
        _check_outputs(
            [*([sarif] if sarif else []), *(out or [])], out or [], force, [*paths, *([run] if run else [])]
        )
        audits = _audits(paths, run, smoke, many, output.progress.log, leave_out)
        _write(audits, sarif, out or [])
        _print(audits, output, many, every)
        from regrow.challenge.audit.verdict import exit_code

        if code := exit_code(audits, fail_on.value, many):
            raise typer.Exit(code)


def _subject(path: Path) -> Path:
    """What is audited for a path: of a run of regrow, whose code nobody has to judge, its artifact."""
    with contextlib.suppress(OSError, ValueError):  # a name that is too long, or holds a null byte
        if (path / ARTIFACT).is_file() and not any(path.glob("*.py")):
            return path / ARTIFACT
    return path


def _check_outputs(written: list[Path], tables: list[Path], force: bool, sources: list[Path]) -> None:
    """Refuse before the work what could not be written after it, or would take another's place."""
    from regrow.challenge.audit.table import writer_of

    for number, path in enumerate(written):
        if path == STANDARD:
            raise ConfigError(f"{path}: give a file; --json prints the findings on standard output.")
        if any(path.resolve() == other.resolve() and not is_special(path) for other in written[:number]):
            raise ConfigError(f"{path}: is given for two outputs; give each a file of its own.")
        check_output(path, force=force, sources=sources)
    for path in tables:
        writer_of(path)


def _show_rules(word: str | None, output: Output) -> None:
    """Every id that a finding can go by, or those that `word` means, each with all that is known of it."""
    from regrow.challenge.audit.selection import described_ids

    found = described_ids(word)
    output.result({"rules": found})
    if word is None:
        for number, kind in enumerate(dict.fromkeys(one["kind"] for one in found)):
            output.line(("\n" if number else "") + f"{kind}s")
            output.table([(f"  {one['id']}", str(one["title"])) for one in found if one["kind"] == kind])
    else:
        output.line("\n\n".join(_explained(one) for one in found))


def _explained(one: dict[str, str | None]) -> str:
    from textwrap import fill

    severity = f", severity {one['severity']}, confidence {one['confidence']}" if one["severity"] else ""
    parts = (f"{one['title']}.", f"Why: {one['why']}", f"To clear: {one['clears']}")
    texts = (fill(part, 80, initial_indent="  ", subsequent_indent="  ") for part in parts)
    return "\n".join([f"{one['id']} ({one['kind']}{severity})", *texts])


def _audits(
    paths: list[Path],
    run: Path | None,
    smoke: bool,
    many: bool,
    tell: Callable[[str], None],
    out: frozenset[str],
) -> list[Audit]:
    from regrow.challenge.audit.many import audit_many, submissions
    from regrow.challenge.audit.one import audit_one, check_path

    if run is not None and (many or len(paths) > 1):
        raise ConfigError("--run probes the scorer of one submission; give one PATH, without --many.")
    for path in paths:  # a path that is wrong is told before the work on the others
        check_path(path)
    if not many:
        return [audit_one(path, run, smoke, out, tell) for path in paths]
    found = [submission for path in paths for submission in submissions(path)]

    def tell_done(done: int, of: int) -> None:
        if done % 10 == 0 or done == of:
            tell(f"{done} of {of} audited")

    return audit_many(found, smoke=smoke, tell=tell_done, out=out)


def _write(audits: list[Audit], sarif: Path | None, tables: list[Path]) -> None:
    if sarif is not None:
        import msgspec

        from regrow import __version__
        from regrow.challenge.audit.sarif import sarif as as_sarif
        from regrow.core.files import atomic_write_bytes

        atomic_write_bytes(
            sarif, msgspec.json.format(msgspec.json.encode(as_sarif(audits, __version__)), indent=1)
        )
    if tables:
        from regrow.challenge.audit.table import write_table

        for table in tables:
            write_table(audits, table)


def _print(audits: list[Audit], output: Output, many: bool, every: bool) -> None:
    from regrow.challenge.audit.report import report

    output.result(audits[0] if len(audits) == 1 and not many else {"submissions": audits})
    if not many:
        for count, audit in enumerate(audits):
            output.line(("\n" if count else "") + report(audit, every))
        return
    from regrow.challenge.audit.table import row, tally

    rows = [row(audit, every) for audit in audits]
    output.table(
        [(r["path"], r["verdict"], "-" if r["bpb"] is None else f"{r['bpb']:.4f}", r["rules"]) for r in rows],
        ("submission", "verdict", "bpb", "findings" if every else "findings above low"),
    )
    counts = ", ".join(f"{n} {verdict}" for verdict, n in tally(audits).items())
    output.line(f"{len(audits)} submissions: {counts}")

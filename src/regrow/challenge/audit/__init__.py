"""Judging other people's figures: rules over source, record checks, probes, a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regrow.challenge.audit.verdict import Audit

__all__ = ["audit", "audit_many"]


def audit(
    path: Path | str,
    run: Path | str | None = None,
    smoke: bool = False,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
) -> Audit:
    """Audit a script, a submission folder or a regrow artifact.

    Args:
        path: what to audit; it is read, never run, unless `run` or `smoke` asks for it.
        run: a shim that drives the scorer (docs/audit/shim.md), or a regrow artifact: every probe is put to
            it in a limited child process.
        smoke: also import the script in such a child, build its model and take one step, on a CPU.
        select: ids of rules, checks and probes, or how they begin, that alone count; all where left out.
        ignore: ids, or how they begin, that do not count.

    Returns:
        The verdict with its findings, probes and account.

    Raises:
        DataError: there is nothing at `path`, or no shim at `run`.
        ConfigError: `select` or `ignore` names what is not there.
    """
    from regrow.challenge.audit.one import audit_one
    from regrow.challenge.audit.selection import left_out

    return audit_one(Path(path), Path(run) if run is not None else None, smoke, left_out(select, ignore))


def audit_many(folder: Path | str, smoke: bool = False, workers: int | None = None) -> list[Audit]:
    """Audit every submission under a folder, in parallel.

    Args:
        folder: it holds submissions at any depth.
        smoke: also the smoke test of each.
        workers: processes; the machine's cores where left out.

    Raises:
        DataError: the folder holds no submission.
    """
    from regrow.challenge.audit import many

    return many.audit_many(many.submissions(Path(folder)), smoke=smoke, workers=workers)

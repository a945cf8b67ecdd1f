"""Running every probe on a scorer."""

from __future__ import annotations

from pathlib import Path

from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer
from regrow.challenge.audit.sandbox.sandbox import ChildError, Limits


def run_probes(
    shim: Path,
    readable: tuple[Path, ...] = (),
    limits: Limits | None = None,
    out: frozenset[str] = frozenset(),
) -> tuple[list[ProbeResult], dict[str, str]]:
    """Run every probe on the scorer behind a shim, each in fresh limited processes.

    Args:
        shim: the shim file, or a regrow artifact.
        readable: folders that the shim may read besides its own, e.g. the submission's.
        limits: what each process may use.
        out: ids of probes that are not run.

    Returns:
        One result a probe, and what the child was kept from (`confine`). A shim that does not load gives one
        crashed result.
    """
    scorer = Scorer(path=shim, readable=readable, limits=limits or Limits())
    try:
        scorer.learn()
    except (ChildError, KeyError, TypeError, ValueError) as error:
        return [ProbeResult("load", "crashed", f"The shim does not load: {error}")], scorer.confined
    return [one.run(scorer) for one in PROBES if one.id not in out], scorer.confined

"""Running every probe on a scorer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.probe.probe import ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer
from regrow.challenge.audit.sandbox.sandbox import ChildError, Limits
from regrow.core.errors import RegrowError


def run_probes(
    shim: Path,
    readable: tuple[Path, ...] = (),
    limits: Limits | None = None,
    out: frozenset[str] = frozenset(),
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[list[ProbeResult], dict[str, str]]:
    """Run every probe on the scorer behind a shim, each in fresh limited processes.

    Args:
        shim: the shim file, or a regrow artifact.
        readable: folders that the shim may read besides its own, e.g. the submission's.
        limits: what each process may use.
        out: ids of probes that are not run.
        tell: is told of each probe before it is run.

    Returns:
        One result a probe, and what the child was kept from (`confine`). A shim that does not load gives one
        crashed result.
    """
    scorer = Scorer(path=shim, readable=readable, limits=limits or Limits())
    if shim.suffix == ".safetensors":
        _compile(shim)
    try:
        scorer.learn()
    except (ChildError, KeyError, TypeError, ValueError) as error:
        return [ProbeResult("load", "crashed", f"The shim does not load: {error}")], scorer.confined
    results = []
    for one in PROBES:
        if one.id not in out:
            tell(f"probe {one.id}")
            results.append(one.run(scorer))
    return results, scorer.confined


def _compile(artifact: Path) -> None:
    """Leave what a predictor compiles in the cache.

    The limited processes cannot write there, and each would compile it anew, for ten seconds.
    """
    from regrow.artifact.artifact import Artifact

    with contextlib.suppress(RegrowError):  # a damaged one is told by the probes
        Artifact.load(artifact).predictor(1, "cpu").predict()

"""Replace everything after a position: what was charged up to it must stay."""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer, made_up_text


def _run(scorer: Scorer) -> ProbeResult:
    tokens = scorer.tokens
    t = len(tokens) // 2
    changed = tokens.copy()
    changed[t + 1 :] = made_up_text(scorer.vocab or 2, len(tokens) - t - 1, None, 2, avoid=scorer.bos)
    first = scorer.first_nats[: t + 1]
    with scorer.session() as two:
        second = two.nats(changed)[: t + 1]
    differences = np.abs(first - second)
    uncharged = np.isnan(first) != np.isnan(second)
    moved = float(np.nanmax(differences, initial=0.0)) if not uncharged.any() else float("inf")
    numbers = {"position": t, "max_change_nats": moved, "tolerance": scorer.tolerance}
    if not moved <= scorer.tolerance:
        return PROBE.result(
            "failed",
            f"With another text after position {t}, an earlier token is charged {moved:.4g} nats "
            "differently.",
            **numbers,
        )
    return PROBE.result("passed", f"Another text after position {t} changed nothing before it.", **numbers)


PROBE = Probe(
    id="change-future",
    title="Change the future: the past must not move",
    why="A score that depends on later tokens cannot be decoded: the decoder has not got them yet.",
    clears="Causal attention and caches, and statistics taken from the strict prefix.",
    breaks=(1, 3),
    run=_run,
)

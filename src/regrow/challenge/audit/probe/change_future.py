"""Replace everything after a position: what was charged up to it must stay."""

from __future__ import annotations

from regrow.challenge.audit.probe.probe import Answer, probe, verdict
from regrow.challenge.audit.probe.scorer import Scorer, largest_change, made_up_text


@probe(
    "change-future",
    "Change the future: the past must not move",
    why="A score that depends on later tokens cannot be decoded: the decoder has not got them yet.",
    clears="Causal attention and caches, and statistics taken from the strict prefix.",
)
def change_future(scorer: Scorer) -> Answer:
    tokens = scorer.tokens
    t = len(tokens) // 2
    changed = tokens.copy()
    changed[t + 1 :] = made_up_text(scorer.vocab or 2, len(tokens) - t - 1, None, 2, avoid=scorer.bos)
    with scorer.session() as two:
        moved = largest_change(scorer.first_nats[: t + 1], two.nats(changed)[: t + 1])
    return verdict(
        moved <= scorer.tolerance,
        f"Another text after position {t} changed nothing before it.",
        f"With another text after position {t}, an earlier token is charged {moved:.4g} nats differently.",
        position=t, max_change_nats=moved, tolerance=scorer.tolerance,
    )  # fmt: skip

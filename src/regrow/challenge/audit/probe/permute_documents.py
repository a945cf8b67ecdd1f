"""Where a reset at each document is claimed: in another order, each must be charged the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regrow.challenge.audit.probe.probe import Answer, probe, skipped, verdict
from regrow.challenge.audit.probe.scorer import Scorer, largest_change, made_up_text

_DOCUMENTS = 3
#: Positions differ in the two orders, so float32 rounding does too: looser than the tolerance at one position.
_LOOSER = 20.0


@probe(
    "permute-documents",
    "Documents in another order are charged the same",
    why="A reset that does not reset lets one document be predicted from another.",
    clears="Attention, caches and adapters cleared at each document; or the claim taken back.",
)
def permute_documents(scorer: Scorer) -> Answer:
    if not scorer.document_reset:
        return skipped("The shim claims no reset at each document.")
    if scorer.bos is None:
        return skipped("DOCUMENT_RESET is claimed, but BOS_ID does not say what begins a document.")
    documents = [made_up_text(scorer.vocab or 2, 40 + 8 * k, scorer.bos, seed=k) for k in range(_DOCUMENTS)]
    # The same phrase in each: a state that leaks finds it in the document before.
    for document in documents[1:]:
        document[8:24] = documents[0][8:24]
    forward, permuted = (_charged(scorer, documents, order) for order in ([0, 1, 2], [2, 0, 1]))
    # A document's first token is charged after the one before it, by some conventions; it is left out.
    changes = [largest_change(forward[k][1:], permuted[k][1:], uncharged=False) for k in range(_DOCUMENTS)]
    moved, allowed = max(changes), scorer.tolerance * _LOOSER
    return verdict(
        moved <= allowed,
        f"{_DOCUMENTS} documents are charged the same in either order.",
        f"In another order a document's token is charged {moved:.4g} nats differently: state leaks.",
        documents=_DOCUMENTS, max_change_nats=moved, tolerance=allowed,
    )  # fmt: skip


def _charged(scorer: Scorer, documents: Sequence[np.ndarray], order: list[int]) -> dict[int, np.ndarray]:
    """Each document's nats, charged by one process in this order."""
    with scorer.session() as session:
        nats = session.nats(np.concatenate([documents[k] for k in order]))
    ends = np.cumsum([len(documents[k]) for k in order])
    return dict(zip(order, np.split(nats, ends[:-1]), strict=True))

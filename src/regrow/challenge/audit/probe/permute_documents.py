"""Where a reset at each document is claimed: in another order, each must be charged the same."""

from __future__ import annotations

import numpy as np

from regrow.challenge.audit.probe.probe import Probe, ProbeResult
from regrow.challenge.audit.probe.scorer import Scorer, made_up_text

_DOCUMENTS = 3
#: Positions differ in the two orders, so float32 rounding does too: looser than the tolerance at one
#: position.
_LOOSER = 20.0


def _run(scorer: Scorer) -> ProbeResult:
    if not scorer.document_reset:
        return PROBE.result("not applicable", "The shim claims no reset at each document.")
    if scorer.bos is None:
        return PROBE.result(
            "not applicable", "DOCUMENT_RESET is claimed, but BOS_ID does not say what begins a document."
        )
    documents = [made_up_text(scorer.vocab or 2, 40 + 8 * k, scorer.bos, seed=k) for k in range(_DOCUMENTS)]
    # The same phrase in each: a state that leaks finds it in the document before.
    for document in documents[1:]:
        document[8:24] = documents[0][8:24]
    with scorer.session() as session:
        forward = _each(session.nats(np.concatenate(documents)), documents, range(_DOCUMENTS))
    order = [2, 0, 1]
    with scorer.session() as session:
        permuted = _each(session.nats(np.concatenate([documents[k] for k in order])), documents, order)
    # A document's first token is charged after the one before it, by some conventions; it is left out.
    moved = max(float(np.nanmax(np.abs(forward[k][1:] - permuted[k][1:]))) for k in range(_DOCUMENTS))
    allowed = scorer.tolerance * _LOOSER
    numbers = {"documents": _DOCUMENTS, "max_change_nats": moved, "tolerance": allowed}
    if not moved <= allowed:
        return PROBE.result(
            "failed",
            f"In another order a document's token is charged {moved:.4g} nats differently: state leaks.",
            **numbers,
        )
    return PROBE.result("passed", f"{_DOCUMENTS} documents are charged the same in either order.", **numbers)


def _each(nats: np.ndarray, documents: list[np.ndarray], order: range | list[int]) -> dict[int, np.ndarray]:
    found = {}
    start = 0
    for k in order:
        found[k] = nats[start : start + len(documents[k])]
        start += len(documents[k])
    return found


PROBE = Probe(
    id="permute-documents",
    title="Documents in another order are charged the same",
    why="A reset that does not reset lets one document be predicted from another.",
    clears="Attention, caches and adapters cleared at each document; or the claim taken back.",
    breaks=(1,),
    run=_run,
)

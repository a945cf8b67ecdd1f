"""Pruning weights of n-grams beside a network: the bits they save the mixture, of those they save the memory alone.

An n-gram that the network predicts by itself adds little to the artifact. How little is measured on documents that
the counts leave out: for a sample of their tokens, each order's n-gram is taken away in turn, and the cost of the token
is compared under the memory and under the mixture. The ratio of the two sums, by order and count, scales the weight
that pruning goes by (`regrow.ngram.store.pruning`).

Legend: S sampled positions, O orders 2 .. max_order, R rows, V vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from regrow.network.compute import compute_dtype
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.model.discount_fit import KINDS, Sample, sample_of
from regrow.ngram.model.kneser_ney import Discounts
from regrow.ngram.model.likeliest import likeliest
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store.linked_ngrams import Grams
from regrow.ngram.store.table_budget import Adjust
from regrow.predict.lockstep import IGNORED
from regrow.predict.mixture import memory_rows, mixture_rows, network_inputs, suggested_of
from regrow.training.batches import Part
from regrow.training.memory import TrainingMemory

_POSITIONS, _BATCH_TOKENS = 49_152, 4096  # tokens of left-out text that are looked at, and at a time
_FEWEST = 200  # a class of n-grams met less often than this tells nothing of its own
_TINY = 1e-12

Floats = NDArray[np.float64]


def beside_network(
    network: Transformer,
    mixer: Mixer,
    memory: TrainingMemory,
    seed: int,
    grams: Grams,
    discounts: Sequence[Discounts],
) -> Adjust:
    """For `fit_table(adjust=)`: pruning weights given network and mixer, of n-grams with these discounts.

    Measured when first asked for; where no document was left out to measure it on, weights stay as they are.
    """

    @functools.cache
    def measured() -> Floats | None:
        left_out = memory.left_out()
        if left_out is None:
            return None
        part, counts = left_out
        generator = np.random.Generator(np.random.PCG64(seed))
        index_B = np.sort(generator.permutation(part.windows)[: max(1, _POSITIONS // part.seq_len)])
        at_S = (index_B[:, None] * part.seq_len + np.arange(part.seq_len)).reshape(-1)
        at_S = at_S[part.tokens[at_S] != part.bos_id]
        sample, _ = sample_of(counts, part.tokens, at_S, threads=torch.get_num_threads())
        model = NgramModel.from_counts(counts, discounts=discounts, threads=torch.get_num_threads())
        batch_size = max(1, _BATCH_TOKENS // part.seq_len)
        mixed, exponents = zip(
            *(
                mixture_of(network, mixer, model, part, index_B[first : first + batch_size])
                for first in range(0, len(index_B), batch_size)
            ),
            strict=True,
        )
        return shares(sample, _filled(discounts), np.concatenate(mixed), np.concatenate(exponents))

    def adjust(order: int, weight_E: NDArray[np.float32]) -> NDArray[np.float32]:
        share_OK = measured()
        if share_OK is None:
            return weight_E
        kind_E = np.minimum(grams.orders[order - 1].value_E, KINDS).astype(np.int64) - 1
        adjusted: NDArray[np.float32] = weight_E * share_OK[order - 2].astype(np.float32)[kind_E]
        return adjusted

    return adjust


def shares(sample: Sample, discounts_OK: Floats, mixed_S: Floats, exponent_S: Floats) -> Floats:
    """By order and count [O, KINDS]: nats that such n-grams save the mixture over those they save the memory.

    `mixed_S`: the mixture's probability of each token; `exponent_S`: the memory's exponent in it.
    """
    passed = sample.through(discounts_OK)
    orders = sample.own_SO.shape[1]
    top_S = passed.probs_SO1[:, -1]
    left_S = np.ones(len(top_S))  # of what an order loses, the part that reaches the top
    alone_OK, beside_OK = np.zeros((orders, KINDS)), np.zeros((orders, KINDS))
    met_OK = np.zeros((orders, KINDS))
    for o in range(orders - 1, -1, -1):
        lost_S = left_S * passed.masses_SO[:, o] * (1 - passed.probs_SO1[:, o])
        change_S = np.log(np.maximum(top_S - lost_S, _TINY) / top_S)
        tilted_S = exponent_S * change_S
        mixture_S = tilted_S - np.log(1 - mixed_S + mixed_S * np.exp(tilted_S))
        kind_S = sample.kind_SO[:, o]
        for total, weight in ((alone_OK, -change_S), (beside_OK, -mixture_S), (met_OK, np.ones(len(kind_S)))):
            total[o] = np.bincount(kind_S, weight, KINDS + 1)[1:]
        left_S = left_S * passed.gammas_SO[:, o]
    overall = max(float(beside_OK.sum()), 0.0) / max(float(alone_OK.sum()), _TINY)
    if overall == 0:
        return np.ones_like(alone_OK)  # the mixture does not use the memory: nothing tells its n-grams apart
    share_OK = beside_OK / np.maximum(alone_OK, _TINY)
    result: Floats = np.where((met_OK < _FEWEST) | (alone_OK <= _TINY), overall, np.maximum(share_OK, 0.0))
    return result


@torch.inference_mode()
def mixture_of(
    network: Transformer, mixer: Mixer, memory: NgramModel, part: Part, index_B: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """The mixture's probability of each token of these windows in turn, BOS left out, and the memory's exponent
    there."""
    device = network.embedding.device
    targets_BT = part.targets(index_B)
    inputs = torch.from_numpy(network_inputs(targets_BT, part.bos_id)).to(device)
    contexts = part.contexts(index_B, memory.max_order - 1)
    found = likeliest(memory, contexts, network.memory_input) if network.memory_input else None
    followed = part.recent(index_B, network.past(part.bos_id), torch.get_num_threads())
    suggested = suggested_of(found, followed, len(index_B), device)
    weights = network.weights(compute_dtype(device))
    hidden_RD = network.hidden(inputs, weights, suggested=suggested).flatten(0, 1)
    of_memory = memory_rows(memory, contexts, device, torch.get_num_threads())
    rows = mixture_rows(network, mixer, hidden_RD, of_memory)
    exponents_R2 = mixer.exponents_at(rows.network_RV, of_memory.log_probs_RV, of_memory.facts_RC)
    targets_R = torch.from_numpy(targets_BT.reshape(-1)).to(device)
    chosen_R = rows.mixture_RV.gather(1, targets_R.clamp(min=0)[:, None])[:, 0]
    log_prob_R = chosen_R - rows.mixture_RV.logsumexp(-1)
    scored_R = targets_R != IGNORED
    prob: Floats = log_prob_R[scored_R].double().exp().cpu().numpy()
    exponent: Floats = exponents_R2[scored_R, 1].double().cpu().numpy()
    return prob, exponent


def _filled(discounts: Sequence[Discounts]) -> Floats:
    """Those of orders 2 and up by count [O, KINDS], the last for all higher ones."""
    return np.array([(*d, *[d[-1]] * KINDS)[:KINDS] for d in discounts[1:]])

"""Losses whose gradients are formed in the forward pass equal what autograd finds of the plain equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.network.mixer import Favourites, agreement, certainty
from regrow.network.transformer import capped_logits
from regrow.predict.lockstep import IGNORED
from regrow.training.row_loss import ROW_KERNELS, MixtureInputs, mixture_loss, network_loss, network_nats

ROWS, VOCAB, WIDTH = 37, 53, 16


def parts(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Final states, embeddings, log probabilities of a memory, exponents, targets, some of which are ignored."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(ROWS, WIDTH, generator=generator, requires_grad=True)
    embedding = torch.randn(VOCAB, WIDTH, generator=generator, requires_grad=True)
    memory = (4 * torch.randn(ROWS, VOCAB, generator=generator)).log_softmax(-1)
    exponents = torch.rand(ROWS, 2, generator=generator)
    targets = torch.randint(0, VOCAB, (ROWS,), generator=generator)
    targets[::5] = IGNORED
    return hidden, embedding, memory, exponents.requires_grad_(), targets


@pytest.mark.parametrize("cap", [0.0, 15.0, 30.0, 100.0])
def test_the_network_s_nats_and_gradients_are_cross_entropy_s(cap: float) -> None:
    hidden, embedding, _, _, targets = parts(1)
    nats = network_loss(hidden, embedding, targets, cap, ROW_KERNELS)
    found = torch.autograd.grad(nats / 3, (hidden, embedding))
    plain = F.cross_entropy(
        capped_logits(hidden, embedding, cap), targets, reduction="sum", ignore_index=IGNORED
    )
    expected = torch.autograd.grad(plain / 3, (hidden, embedding))
    torch.testing.assert_close(nats, plain, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cap", [0.0, 15.0, 30.0])
@pytest.mark.parametrize("scale", [1.0, -0.5, 6.0])
def test_the_mixture_s_nats_and_gradients_are_cross_entropy_s(cap: float, scale: float) -> None:
    hidden, embedding, memory, exponents, targets = parts(2)
    logits = F.linear(hidden, embedding).detach()
    best = Favourites(*ROW_KERNELS.favourites(logits, memory, cap))
    rows = MixtureInputs(memory, targets, best)
    nats = mixture_loss(hidden, embedding, exponents * scale, logits, rows, cap, ROW_KERNELS)
    found = torch.autograd.grad(nats / 3, (hidden, embedding, exponents))
    a, b = (exponents * scale).split(1, dim=1)
    network = capped_logits(hidden, embedding, cap)
    plain = F.cross_entropy(a * network + b * memory, targets, reduction="sum", ignore_index=IGNORED)
    expected = torch.autograd.grad(plain / 3, (hidden, embedding, exponents))
    torch.testing.assert_close(nats, plain, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(certainty(best), agreement(network.detach(), memory), rtol=1e-4, atol=1e-5)
    alone = F.cross_entropy(network.detach(), targets, reduction="sum", ignore_index=IGNORED)
    assert network_nats(logits, targets, best.total, cap) == pytest.approx(float(alone), rel=1e-5)


def test_a_sum_beyond_float32_s_range_stays_a_number() -> None:
    hidden, embedding, memory, exponents, targets = parts(3)
    with torch.no_grad():
        hidden *= 1e4
    logits = F.linear(hidden, embedding).detach()
    best = Favourites(*ROW_KERNELS.favourites(logits, memory, 0.0))
    nats = mixture_loss(
        hidden, embedding, exponents, logits, MixtureInputs(memory, targets, best), 0.0, ROW_KERNELS
    )
    assert torch.isfinite(nats)
    assert torch.isfinite(network_loss(hidden, embedding, targets, 0.0, ROW_KERNELS))

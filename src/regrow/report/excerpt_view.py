"""The coloured excerpt: what a template needs to show each token's loss and which part's was lower."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regrow.report.excerpt import Excerpt, ExcerptToken
from regrow.report.visible_bytes import visible

# Upper ends, in bits, of the shades from calm to loud; what costs more has the last shade.
SHADES = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0)


@dataclass(frozen=True)
class TokenView:
    """One token: what is shown, its shade 0..len(SHADES), the part of lower loss, words about its loss."""

    text: str
    shade: int
    better: str
    words: str


@dataclass(frozen=True)
class OrderView:
    """The tokens at which one order matched: how many, their mean bits, how often the memory's loss was lower."""

    order: int
    tokens: int
    share: float
    mixture: float
    network: float
    memory: float
    memory_better: float


@dataclass(frozen=True)
class ExcerptView:
    """The excerpt, and its loss: bits per byte of each predictor over its own bytes."""

    tokens: list[TokenView]
    orders: list[OrderView]
    raw_bytes: int
    bits: float
    mixture: float
    network: float
    memory: float | None
    memory_better: float


def excerpt_view(excerpt: Excerpt) -> ExcerptView | None:
    """None for an excerpt without tokens."""
    tokens = excerpt.tokens
    raw_bytes = sum(len(t.text) for t in tokens)
    if not tokens or not raw_bytes:
        return None
    with_memory = all(t.memory is not None for t in tokens)
    return ExcerptView(
        tokens=[_token(t) for t in tokens],
        orders=_orders(tokens) if with_memory else [],
        raw_bytes=raw_bytes,
        bits=math.fsum(t.mixture for t in tokens),
        mixture=math.fsum(t.mixture for t in tokens) / raw_bytes,
        network=math.fsum(t.network for t in tokens) / raw_bytes,
        memory=math.fsum(t.memory or 0.0 for t in tokens) / raw_bytes if with_memory else None,
        memory_better=sum(better_part(t) == "memory" for t in tokens) / len(tokens),
    )


def better_part(token: ExcerptToken) -> str:
    """The part that gave the token more probability; the network where both gave the same or it is alone."""
    return "memory" if token.memory is not None and token.memory < token.network else "network"


def shade(bits: float) -> int:
    """The first shade whose upper end holds `bits`."""
    return next((i for i, end in enumerate(SHADES) if bits < end), len(SHADES))


def _token(token: ExcerptToken) -> TokenView:
    better = better_part(token)
    words = f"{_bits(token.mixture)} (network alone {_bits(token.network)}"
    if token.memory is not None:
        words += f", memory alone {_bits(token.memory)}); lower loss: {better}"
        if token.order is not None:
            words += f"; memory matched {_matched(token.order)}"
    else:
        words += ")"
    return TokenView(visible(token.text), shade(token.mixture), better, words)


def _matched(order: int) -> str:
    tokens = order - 1
    if tokens == 0:
        return "no context (order 1)"
    return f"{tokens} token{'s' if tokens > 1 else ''} of context (order {order})"


def _bits(value: float) -> str:
    return f"{value:.2f} bits"


def _orders(tokens: list[ExcerptToken]) -> list[OrderView]:
    views = []
    for order in sorted({t.order for t in tokens if t.order is not None}):
        own = [t for t in tokens if t.order == order]
        n = len(own)
        views.append(
            OrderView(
                order=order,
                tokens=n,
                share=n / len(tokens),
                mixture=math.fsum(t.mixture for t in own) / n,
                network=math.fsum(t.network for t in own) / n,
                memory=math.fsum(t.memory or 0.0 for t in own) / n,
                memory_better=sum(better_part(t) == "memory" for t in own) / n,
            )
        )
    return views

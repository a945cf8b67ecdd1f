"""Whether a few seeds beat a baseline by the step that a record needs: a one-sided t test, without scipy.

The tail of Student's t is the regularised incomplete beta function, P(T > t) = I_x(v/2, 1/2) / 2 with x = v /
(v + t^2), evaluated by its continued fraction with the modified Lentz recurrence (Abramowitz and Stegun
26.5.8 and 26.7.1; DLMF 8.17).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from regrow.challenge.facts import RECORD_STEP_NATS

_TINY = 1e-300
_ENOUGH = 1e-15


def _continued_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function at x < (a + 1) / (a + b + 2)."""
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1.0) < _ENOUGH:
            break
    return value


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b).

    Args:
        a: first shape, above 0.
        b: second shape, above 0.
        x: upper limit of the integral, within 0 and 1.

    Raises:
        ValueError: an argument is out of its range.
    """
    if a <= 0 or b <= 0 or not 0 <= x <= 1:
        raise ValueError(f"incomplete beta needs a, b > 0 and x within [0, 1], not {a}, {b}, {x}")
    if x in (0.0, 1.0):
        return x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _continued_fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _continued_fraction(b, a, 1.0 - x) / b


def upper_tail(t: float, degrees: float) -> float:
    """P(T > t) for Student's t with `degrees` degrees of freedom."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    half = 0.5 * incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
    return half if t >= 0 else 1.0 - half


def one_sided_p(values: Sequence[float], bar: float) -> float | None:
    """The p-value of 'the true mean is not below `bar`', by a one-sample t test on `values`.

    Returns:
        The probability of a mean this far below the bar if the true mean stood at the bar; None for fewer
        than two values or when they are all equal, where the test says nothing.
    """
    if len(values) < 2:
        return None
    deviation = statistics.stdev(values)
    if deviation == 0:
        return None
    t = (bar - statistics.fmean(values)) / (deviation / math.sqrt(len(values)))
    return upper_tail(t, len(values) - 1)


def record_bar(baseline: float, bytes_per_token: float) -> float:
    """Bits per byte that a record must stay below: `baseline` less the step, which is stated in nats per token."""
    return baseline - RECORD_STEP_NATS / (math.log(2) * bytes_per_token)


def bytes_per_token(loss: float, bpb: float) -> float:
    """Bytes per token behind a loss (nats per token) and a figure (bits per byte) of the same evaluation."""
    return loss / (math.log(2) * bpb)

"""Drawing a token: temperature sharpens a row, top_p cuts its tail."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from regrow.core.errors import ConfigError
from regrow.predict.sampling import draw

NAN = float("nan")
ROW = np.array([0.1, 0.5, 0.0, 0.3, 0.1])


def shares(count: int = 4000, **settings: float) -> dict[int, float]:
    chance = random.Random(1)
    found = Counter(draw(ROW, chance, **settings) for _ in range(count))
    return {token: n / count for token, n in found.items()}


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    found = shares()
    assert 2 not in found
    assert all(found[v] == pytest.approx(ROW[v], abs=0.03) for v in found)


def test_temperature_sharpens_and_flattens() -> None:
    sharp = ROW**2 / (ROW**2).sum()
    found = shares(temperature=0.5)
    assert all(found[v] == pytest.approx(sharp[v], abs=0.03) for v in found)
    assert shares(temperature=0.0) == {1: 1.0}
    assert shares(temperature=1e-4) == shares(temperature=5e-324) == {1: 1.0}, "no overflow"


def test_top_p_keeps_the_likeliest_that_reach_it() -> None:
    found = shares(top_p=0.8)
    assert found == {1: pytest.approx(5 / 8, abs=0.03), 3: pytest.approx(3 / 8, abs=0.03)}
    assert set(shares(top_p=0.81)) == {0, 1, 3} and set(shares(top_p=1e-9)) == {1}


def test_a_row_is_not_changed() -> None:
    row = ROW.copy()
    draw(row, random.Random(1), 0.5, 0.5)
    assert (row == ROW).all()


@pytest.mark.parametrize(
    "settings", [{"temperature": -1.0}, {"temperature": NAN}, {"top_p": 0.0}, {"top_p": NAN}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="temperature of 0 or more"):
        draw(ROW, random.Random(1), **settings)

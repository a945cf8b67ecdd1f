"""A few of the kills that `make kills` does by the dozen."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.forks import ForkServer
from tests.e2e.kills import kill_again_and_again


@pytest.mark.long
def test_a_run_killed_at_any_moment_ends_in_the_artifact_of_one_left_alone(
    data: Path, tmp_path: Path
) -> None:
    with ForkServer() as server:
        tally = kill_again_and_again(server, data, tmp_path, kills=10, seed=3)
    assert not tally.lost, tally.lines()
    assert sum(tally.kills.values()) == 10 and tally.differing == 0 and tally.finished >= 2

"""What a run needs is reckoned from its config, and refused before anything of it is built."""

from __future__ import annotations

import re
import time

import pytest
import torch

from regrow.core.config.load import apply_overrides, load_preset, preset_names
from regrow.core.errors import ConfigError, EnvironmentProblem
from regrow.network.transformer import Transformer
from regrow.training.needs import check_budget, check_memory, memory_needed


def test_a_million_layers_are_refused_at_once() -> None:
    config = apply_overrides(load_preset("demo"), ["model.n_layer=1000000"])
    started = time.process_time()
    with pytest.raises(
        ConfigError, match=r"too small for this network, which needs about [\d,]{15,} \(adapters"
    ):
        check_budget(config, 1024, 6000)
    with pytest.raises(EnvironmentProblem, match=r"model\.n_layer.*train\.batch_tokens"):
        check_memory(config, 1024, "cpu", 1, 8 << 30, print)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("preset", preset_names())
def test_the_budget_that_is_advised_is_not_refused(preset: str) -> None:
    config = apply_overrides(load_preset(preset), ["pack.budget_bytes=9000", "memory.cap_bytes=0"])
    with pytest.raises(ConfigError) as refused:
        check_budget(config, 1024, 6000)
    advised = re.search(r"set it to at least (\d+)", str(refused.value))
    assert advised
    check_budget(apply_overrides(config, [f"pack.budget_bytes={advised[1]}"]), 1024, 6000)


@pytest.mark.parametrize("seeded", ["all", "mlp", "none"])
def test_weights_alone_take_no_more_than_is_said(seeded: str) -> None:
    config = apply_overrides(load_preset("demo"), ["model.d_model=128", f'model.seeded="{seeded}"'])
    network = Transformer(config.model, 300, config.train.seq_len, 1)
    held = sum(t.numel() for t in [*network.parameters(), *network.buffers()])
    assert 4 * held < memory_needed(config, 300, torch.device("cpu").type)


def test_what_is_needed_is_said_where_there_is_room() -> None:
    said: list[str] = []
    check_memory(load_preset("demo"), 1024, "cpu", 1, 8 << 30, said.append)
    assert len(said) == 1 and re.search(r"at least \d+ MB .* 8\.6 GB are free", said[0])

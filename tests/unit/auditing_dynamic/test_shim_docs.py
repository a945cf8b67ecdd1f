"""The worked examples of `docs/audit/shim.md` run: the honest network passes, the gold-only cache fails."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from regrow.challenge.audit.probe import PROBES
from regrow.challenge.audit.probe.run import run_probes

DOCS = Path(__file__).parents[3] / "docs" / "audit" / "shim.md"

NETWORK = """
import torch
from torch import nn
VOCAB_SIZE = 32

class GPT(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.table = nn.Embedding(vocab, 16)
        self.head = nn.Linear(16, vocab)

    def forward_logits(self, tokens):
        return self.head(self.table(tokens).cumsum(1))
"""

CACHE = """
import numpy as np
VOCAB_SIZE = 32

def load_cache():
    return {(c, t): 50 for c in range(32) for t in range(0, 32, 2)}

def blend(nll, tokens, cache):
    out = nll.copy()
    for i in range(1, len(tokens)):
        count = cache.get((int(tokens[i - 1]), int(tokens[i])), 0)
        if count > 1:
            out[i] = -np.log(0.5 * np.exp(-nll[i]) + 0.5 * count / (count + 8))
    return out
"""


def example(name: str) -> str:
    """The block of code that follows a marker in the page."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_network_example_runs_and_passes(tmp_path: Path) -> None:
    (tmp_path / "train_gpt.py").write_text(NETWORK)
    space: dict[str, object] = {}
    exec(NETWORK, space)
    torch.manual_seed(0)
    torch.save(space["GPT"](32).state_dict(), tmp_path / "weights.pt")  # type: ignore[operator]
    (tmp_path / "shim.py").write_text(
        example("network").replace('"WEIGHTS"', repr(str(tmp_path / "weights.pt")))
    )
    # Each probe starts a process that imports torch, for seconds: these ask for all that the example defines.
    asked = {"sum-over-vocabulary", "code-length", "change-future"}
    out = frozenset(probe.id for probe in PROBES if probe.id not in asked)
    outcomes = {r.probe: r.outcome for r in run_probes(tmp_path / "shim.py", out=out)[0]}
    assert outcomes == dict.fromkeys(asked, "passed")


def test_the_cache_example_runs_and_fails(tmp_path: Path) -> None:
    (tmp_path / "audited").mkdir()
    (tmp_path / "audited" / "train_gpt.py").write_text("import flash_attn_interface\n" + CACHE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shim.py").write_text(example("cache"))
    outcomes = {
        r.probe: r.outcome for r in run_probes(tmp_path / "mine" / "shim.py", (tmp_path / "audited",))[0]
    }
    assert outcomes["sum-over-vocabulary"] == outcomes["code-length"] == "failed"
    assert outcomes["change-future"] == outcomes["score-twice"] == "passed"

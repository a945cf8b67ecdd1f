"""The smoke test: what builds passes with its figures, what does not names its line."""

from __future__ import annotations

import base64
import lzma
from pathlib import Path

from regrow.challenge.audit.sandbox.smoke import smoke_test

SCRIPT = """
import os
import torch
from torch import nn
import triton
import triton.language as tl
from flash_attn_interface import flash_attn_func
import torch.nn.functional as F

class Hyperparameters:
    vocab_size = int(os.environ.get("VOCAB_SIZE", 64))
    model_dim = 32
    num_layers = 2

@triton.jit
def kernel(x, n: tl.constexpr):
    pass

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (4, -1)) for t in self.qkv(x).chunk(3, -1))
        return x + flash_attn_func(q, k, v, causal=True).flatten(-2)

class GPT(nn.Module):
    def __init__(self, vocab_size, dim, layers):
        super().__init__()
        self.table = nn.Embedding(vocab_size, dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(layers))

    def forward(self, tokens, targets):
        x = self.table(tokens)
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy((x @ self.table.weight.T).flatten(0, 1), targets.flatten())

def main():
    args = Hyperparameters()
    device = torch.device("cuda", 0)
    model = GPT(args.vocab_size, args.model_dim, layers=args.num_layers).to(device)
    torch.cuda.synchronize()
    raise SystemExit("training must not start")

if __name__ == "__main__":
    main()
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train_gpt.py"
    path.write_text(text)
    return path


def test_a_script_for_gpus_is_built_and_stepped_on_a_cpu(tmp_path: Path) -> None:
    smoke = smoke_test(write(tmp_path, SCRIPT))
    assert (smoke.outcome, smoke.stage, smoke.error) == ("pass", "done", "")
    assert (smoke.width, smoke.layers, smoke.vocabulary) == (32, 2, 64)
    assert smoke.parameters == 64 * 32 + 2 * (32 * 96 + 96)
    assert smoke.code_bytes == len(SCRIPT) and smoke.import_seconds is not None
    assert set(smoke.stubbed) >= {"flash_attn_interface", "triton"} and smoke.loss is not None


def test_a_wrapped_script_is_unwrapped_by_running_it(tmp_path: Path) -> None:
    packed = base64.b85encode(lzma.compress(SCRIPT.encode()))
    text = f"import lzma as l, base64 as b\nexec(l.decompress(b.b85decode({packed!r})))\n"
    assert smoke_test(write(tmp_path, text)).outcome == "pass"


def test_the_failing_line_is_named(tmp_path: Path) -> None:
    broken = SCRIPT.replace("        x = self.table(tokens)", "        x = self.tabel(tokens)")
    smoke = smoke_test(write(tmp_path, broken))
    assert (smoke.outcome, smoke.stage) == ("fail", "step")
    assert "tabel" in smoke.text and smoke.line == broken[: broken.index("tabel")].count("\n") + 1


def test_a_kernel_of_the_scripts_own_needs_a_gpu_and_is_no_failure(tmp_path: Path) -> None:
    uses = SCRIPT.replace(
        "        x = self.table(tokens)", "        x = self.table(tokens)\n        kernel[(1,)](x, n=3)"
    )
    assert smoke_test(write(tmp_path, uses)).outcome == "needs a GPU"


def test_a_script_without_a_model_says_so(tmp_path: Path) -> None:
    smoke = smoke_test(write(tmp_path, "print('hello')\n"))
    assert smoke.outcome == "fail" and "language model" in smoke.error

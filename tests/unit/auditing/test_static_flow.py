"""What is legal passes, what is switched off is only a note, and settings and logs decide what is switched
on."""

from __future__ import annotations

from pathlib import Path

from regrow.challenge.audit.finding import worst
from regrow.challenge.audit.static import static_findings

HEAD = """
import os
import numpy as np
import torch
import torch.nn.functional as F

val_tokens = torch.from_numpy(np.fromfile("fineweb_val_000000.bin", dtype=np.uint16).astype(np.int64))
"""

LEGAL = {
    "score-first training with a guard on the last chunk": """
def evaluate(model, chunk_size, world):
    opt = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9)
    chunks = (val_tokens.numel() - 2) // chunk_size + 1
    total, nbytes = 0.0, 1
    for ci in range(chunks):
        lo, hi = ci * chunk_size, min((ci + 1) * chunk_size, val_tokens.numel() - 1)
        with torch.inference_mode():
            for ws in range(lo, hi, 64):
                piece = val_tokens[ws : ws + 1025]
                total += F.cross_entropy(model(piece[:-1]), piece[1:], reduction="none")[-64:].sum().item()
        if ci != chunks - 1:
            for epoch in range(3):
                for a in range(lo, hi, 1024):
                    piece = val_tokens[a : a + 1025]
                    loss = F.cross_entropy(model(piece[:-1]), piece[1:])
                    opt.zero_grad()
                    loss.backward()
                    opt.step()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), 32768, 1)
""",
    "a hash of previous tokens as input embedding": """
class Bigram(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.embed = torch.nn.Embedding(size, 128)

    def forward(self, ids):
        out = torch.empty_like(ids)
        out[..., 0] = self.size - 1
        out[..., 1:] = torch.bitwise_xor(36313 * ids[..., 1:], 27191 * ids[..., :-1]) % (self.size - 1)
        return self.embed(out)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bigram = Bigram(4096)
        self.head = torch.nn.Linear(128, 1024)

    def forward(self, ids, targets):
        return F.cross_entropy(self.head(self.bigram(ids)), targets)

def evaluate(net):
    total, nbytes = 0.0, 1
    with torch.no_grad():
        for a in range(0, val_tokens.numel() - 1, 1024):
            piece = val_tokens[a : a + 1025]
            total += net(piece[:-1], piece[1:]).item()
    return total / nbytes

evaluate(Net())
""",
    "an adapter for each document, scored before each step": """
class Adapter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(8, 512))

    def forward(self, h):
        return h @ self.a.T

def evaluate(model, starts):
    total, nbytes = 0.0, 1
    for begin in starts:
        lora = Adapter()
        opt = torch.optim.Adam(lora.parameters(), lr=0.01)
        for a in range(begin, begin + 4096, 256):
            piece = val_tokens[a : a + 257]
            nll = F.cross_entropy(model(piece[:-1]) + lora(piece[:-1]), piece[1:], reduction="none")
            total += nll.detach().sum().item()
            opt.zero_grad()
            nll.mean().backward()
            opt.step()
    return total / nbytes

evaluate(torch.nn.Linear(4, 4), [0, 4096])
""",
    "exact counts, normalised": """
def evaluate(vocab):
    counts, total, nbytes = {}, 0.0, 1
    seq = val_tokens.tolist()
    for t in range(2, len(seq)):
        row = counts.setdefault((seq[t - 2], seq[t - 1]), np.full(vocab, 0.01))
        total -= np.log(row[seq[t]] / row.sum())
        row[seq[t]] += 1
    return total / nbytes

evaluate(1024)
""",
}

SWITCHED = """
def adapt(model):
    opt = torch.optim.Adam(model.parameters())
    for a in range(0, val_tokens.numel() - 1, 1024):
        piece = val_tokens[a : a + 1025]
        F.cross_entropy(model(piece[:-1]), piece[1:]).backward()
        opt.step()
    print(f"adapted on held-out text: {a} tokens")

def main(model):
    if int(os.environ.get("ADAPT", "0")):
        adapt(model)

main(torch.nn.Linear(4, 4))
"""


def audit(folder: Path, text: str, **notes: str) -> tuple[str, list[str]]:
    (folder / "train_gpt.py").write_text(HEAD + text, encoding="utf-8")
    for name, content in notes.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
    findings = static_findings(folder)
    return worst(findings), [f"{f.rule}:{f.severity}:{f.line}" for f in findings]


def test_legal_designs_pass(tmp_path: Path) -> None:
    for name, text in LEGAL.items():
        verdict, found = audit(tmp_path, text)
        assert verdict == "clean", (name, found)


def test_what_is_off_by_default_is_only_a_note(tmp_path: Path) -> None:
    assert audit(tmp_path, SWITCHED)[0] == "clean"


def test_a_run_command_in_the_readme_switches_it_on(tmp_path: Path) -> None:
    assert audit(tmp_path, SWITCHED, README_md="Run with `ADAPT=1 torchrun train_gpt.py`.")[0] == "flagged"


def test_a_log_line_that_only_the_branch_prints_switches_it_on(tmp_path: Path) -> None:
    assert (
        audit(tmp_path, SWITCHED, train_log="step 1\nadapted on held-out text: 99 tokens\n")[0] == "flagged"
    )


def test_one_off_training_turned_round_is_flagged(tmp_path: Path) -> None:
    text = LEGAL["score-first training with a guard on the last chunk"]
    score, learn = text.index("        with torch.inference_mode"), text.index("        if ci != chunks")
    end = text.index("    return total")
    assert audit(tmp_path, text[:score] + text[learn:end] + text[score:learn] + text[end:])[0] == "flagged"

"""What the process of `compiled.compile_ahead` does: one step of such a training, on an empty text."""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from regrow.core.config.schema import Config
from regrow.network.compute import compute_dtype
from regrow.network.mixer import Mixer
from regrow.network.transformer import Transformer
from regrow.ngram.model.likeliest import Likeliest
from regrow.training.batches import Part
from regrow.training.loss import StepLoss
from regrow.training.memory import Reading
from regrow.training.needs import rows_at_once


class _Silent:
    """A memory that suggests nothing."""

    def read(self, part: Part, index_B: NDArray[np.int64], network: Transformer, *, joint: bool) -> Reading:
        """As `TrainingMemory.read` in the main phase."""
        K = network.memory_input
        return Reading(Likeliest.empty(len(index_B) * part.seq_len, K) if K else None)


def compile_here(config: str, threads: str) -> None:
    """Compile the steps that training by this config, as JSON, with so many threads will run."""
    torch.set_num_threads(int(threads))
    c, cpu = msgspec.json.decode(config, type=Config), torch.device("cpu")
    network = Transformer(c.model, c.data.vocab_size, c.train.seq_len, c.train.seed)
    mixer = Mixer(c.mixer, torch.Generator().manual_seed(0))
    mixing = c.memory.kind != "none" and c.mixer.kind != "none"
    loss = StepLoss(network, mixer, _Silent() if mixing else None, bos_id=0, dtype=compute_dtype(cpu))
    rows = rows_at_once(c.train, cpu.type, 1)
    loss.compile(c.train, rows, lambda line: None)
    part = Part(np.ones(rows, np.uint16), c.train.seq_len, bos_id=0)
    loss.backward(part, np.arange(part.windows), rows, joint=False)

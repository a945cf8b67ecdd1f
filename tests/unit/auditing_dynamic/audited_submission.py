"""A small honest submission folder that tests break in one place at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

#: Bytes per token and tokens of the export that the fixture's tokenizer names.
RATIO, TOKENS = 2.436, 62_021_632
FIGURES = {1: 1.2200, 2: 1.2210, 3: 1.2220}

SCRIPT = "import os\n\ndef main():\n    print('trains')\n\nif __name__ == '__main__':\n    main()\n"


def log_text(
    seed: int,
    bpb: float,
    *,
    ratio: float = RATIO,
    tokens: int = TOKENS,
    total: int = 15_900_000,
    tokenizer: str = "./data/tokenizers/fineweb_1024_bpe.model",
    settings: str = "num_layers: 9",
    more: str = "",
) -> str:
    """A training log that ends in one figure."""
    loss = bpb * ratio * math.log(2)
    return f"""seed:{seed}
val_bpb:enabled tokenizer_kind=sentencepiece tokenizer_path={tokenizer}
val_loader:shards pattern=./data/fineweb_val_*.bin tokens:{tokens}
  {settings}
  vocab_size: 1024
step:0/100 val_loss:6.9357 val_bpb:4.1077 train_time:0ms step_avg:0.01ms
step:100/100 val_loss:{loss + 0.02:.4f} val_bpb:{bpb + 0.0118:.4f} train_time:599000ms step_avg:60.0ms
Serialized model: 67000000 bytes
Serialized model int8+zlib: {total - 50_000} bytes
Code size: {len(SCRIPT)} bytes
Total submission size: 67050000 bytes
Total submission size int8+zlib: {total} bytes
final_int8_zlib_roundtrip val_loss:{loss:.4f} val_bpb:{bpb:.4f} eval_time:1400ms
final_int8_zlib_roundtrip_exact val_loss:{loss:.8f} val_bpb:{bpb:.8f}
{more}"""


def submission(folder: Path, logs: dict[str, str] | None = None, **claims: Any) -> Path:
    """Write a submission folder; `claims` replace or (None) remove what submission.json says."""
    folder.mkdir(parents=True, exist_ok=True)
    mean = sum(FIGURES.values()) / len(FIGURES)
    said: dict[str, Any] = {
        "author": "someone",
        "name": "an honest one",
        "track": "10min_16mb",
        "val_bpb": mean,
        "val_loss": mean * RATIO * math.log(2),
        "bytes_total": 15_900_000,
        "seed_results": {str(seed): {"val_bpb": bpb} for seed, bpb in FIGURES.items()},
    }
    said |= claims
    said = {key: value for key, value in said.items() if value is not None}
    (folder / "submission.json").write_text(json.dumps(said, indent=1))
    (folder / "README.md").write_text(
        f"# an honest one\n\nval_bpb {mean:.4f}, nothing of the validation text kept.\n"
    )
    (folder / "train_gpt.py").write_text(SCRIPT)
    written = {f"train_seed{s}.log": log_text(s, b) for s, b in FIGURES.items()} if logs is None else logs
    for name, text in written.items():
        (folder / name).write_text(text)
    return folder

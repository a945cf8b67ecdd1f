"""The proof of models that are not ours: Python objects with two methods, and Hugging Face folders."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.conftest import run_json, run_regrow

from regrow.artifact.artifact import Artifact
from regrow.core.errors import ConfigError, DataError, ProofError
from regrow.predict.model_proof import prove_model

pytest.importorskip("transformers")

TEXT = "To be proven is to be decoded, and to be decoded is to be the same: é, 水, \U0001f600. " * 8


class Counting:
    """Bytes with add-one counts: what a user may bring."""

    def __init__(self, streams: int = 1, scale: float = 1.0) -> None:
        self.counts_SV, self.scale = np.ones((streams, 256)), scale

    def predict(self) -> np.ndarray:
        return np.log(self.scale * self.counts_SV / self.counts_SV.sum(axis=1, keepdims=True))

    def update(self, tokens_S: np.ndarray) -> None:
        self.counts_SV[np.arange(len(tokens_S)), tokens_S] += 1


class OneRow(Counting):
    """Its row has no dimension of streams."""

    def predict(self) -> np.ndarray:
        return super().predict()[0]


def ideal_bits(raw: bytes) -> float:
    model, bits = Counting(), 0.0
    for byte in raw:
        bits -= model.predict()[0, byte] / math.log(2)
        model.update(np.array([byte]))
    return bits


def test_a_python_object_is_proven_at_the_cost_its_probabilities_say() -> None:
    raw = TEXT.encode()
    proof = prove_model(Counting, raw)
    assert proof.sha256_match and not proof.portable and proof.raw_bytes == len(raw)
    assert proof.bpb == 8 * proof.stream_bytes / len(raw)
    assert 0 <= 8 * proof.stream_bytes - ideal_bits(raw) < 8 * 8
    assert prove_model(OneRow, raw).stream_bytes == proof.stream_bytes
    assert prove_model(Counting, raw, streams=5).sha256_match
    assert prove_model(Counting, b"x").sha256_match


def test_our_own_predictor_is_one(small_artifact: Path) -> None:
    artifact = Artifact.load(small_artifact)
    raw = b"the union of the states is strong. " * 20
    proof = prove_model(artifact.predictor, raw, tokenizer=artifact.tokenizer)
    assert proof.sha256_match
    codec = run_json("prove", small_artifact, "--data", _saved(small_artifact.parent / "own.txt", raw))
    # The stream of a file to keep also says which artifact it needs and has a checksum: about eleven bytes more.
    assert codec["portable"] and abs(codec["stream_bytes"] - proof.stream_bytes - 11) <= 4


def _saved(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_rows_that_are_no_distributions_are_refused() -> None:
    for scale in (0.9, 3.0, float("nan")):
        with pytest.raises(ProofError, match=r"probabilities of token 1 sum to"):
            prove_model(partial(Counting, scale=scale), b"text")


def test_a_model_that_knows_the_text_decodes_nothing() -> None:
    """The decoder's object is a fresh one, which has not been shown the text."""

    class Cheat(Counting):
        made: int = 0

        def __init__(self, streams: int) -> None:
            super().__init__(streams)
            type(self).made += 1
            self.at, self.knows = 0, type(self).made == 1

        def predict(self) -> np.ndarray:
            row = np.full((1, 256), 1e-9)
            row[0, TEXT.encode()[self.at] if self.knows else 0] = 1.0
            return np.log(row / row.sum())

        def update(self, tokens_S: np.ndarray) -> None:
            self.at += 1

    proof = prove_model(Cheat, TEXT.encode())
    assert proof.bpb < 0.1 and not proof.sha256_match


def test_tokens_outside_the_rows_are_named() -> None:
    class Narrow(Counting):
        def predict(self) -> np.ndarray:
            return np.full((1, 100), -math.log(100))

    with pytest.raises(ProofError, match=r"has 100 probabilities, and the text's token 116 "):
        prove_model(Narrow, b"text")
    with pytest.raises(ConfigError, match="--streams 5: choose from 1 to"):
        prove_model(Counting, b"text", streams=5)


def test_a_tokenizer_that_loses_letters_is_refused() -> None:
    class Lower:
        def encode(self, data: bytes) -> np.ndarray:
            return np.frombuffer(data.lower(), np.uint8)

        def decode(self, tokens_T: np.ndarray) -> bytes:
            return tokens_T.astype(np.uint8).tobytes()

    with pytest.raises(DataError, match="does not give this text back"):
        prove_model(Counting, TEXT.encode(), tokenizer=Lower())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of random weights and a byte-level tokenizer, as `save_pretrained` writes them."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    import torch

    place = tmp_path_factory.mktemp("gpt2")
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    tokenizer.train_from_iterator([TEXT], vocab_size=300, special_tokens=["<|endoftext|>"])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(place)
    torch.manual_seed(1)
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "n_positions": 32,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
    }
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    transformers.GPT2LMHeadModel(config).save_pretrained(place)
    return place


@pytest.mark.slow
def test_a_hugging_face_folder_is_proven_in_a_fresh_process(folder: Path, tmp_path: Path) -> None:
    text = _saved(tmp_path / "text.txt", TEXT.encode())
    done = run_regrow("prove", "--model", f"hf:{folder}", "--data", text, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "bits per byte, on this machine\nNot proven: " in done.stdout
    for more in ([], ["--streams", "4"]):
        proof: Any = run_json("prove", "--model", f"hf:{folder}", "--data", text, *more)
        assert proof["sha256_match"] and not proof["portable"] and proof["model"] == f"hf:{folder}"
        assert proof["raw_bytes"] == len(TEXT.encode()) and proof["max_abs_row_sum_error"] < 1e-9


@pytest.mark.slow
def test_its_cost_is_what_the_whole_model_says(folder: Path, tmp_path: Path) -> None:
    """Within one window, where no token is read twice: against one forward pass of transformers."""
    import torch
    import transformers

    text = TEXT[:60]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = [tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)]
    assert len(ids) <= 32
    with torch.inference_mode():
        log_probs = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    bits = -sum(float(log_probs[t, token]) for t, token in enumerate(ids[1:])) / math.log(2)
    proof = prove_model(f"hf:{folder}", text.encode())
    assert proof.sha256_match and 0 <= 8 * proof.stream_bytes - bits < 8 * 6


@pytest.mark.slow
def test_what_cannot_be_used_is_told_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    text = _saved(tmp_path / "text.txt", TEXT.encode())
    latin = _saved(tmp_path / "latin.txt", b"caf\xe9")
    (tmp_path / "empty").mkdir()
    cases = [
        (["--model", f"hf:{tmp_path / 'empty'}", "--data", text], "holds no causal language model"),
        (["--model", "gpt2", "--data", text], "is no model that regrow reads; give hf:FOLDER"),
        (["--model", f"hf:{folder}", "--data", latin], "byte 3 is not UTF-8"),
        (["--data", text], "give an ARTIFACT or --model"),
        (["--model", f"hf:{folder}", "--data", text, "--ttt"], "--ttt: is for artifacts"),
        ([text, "--data", text, "--streams", "2"], "--streams: is for --model"),
    ]
    for arguments, sentence in cases:
        done = run_regrow("prove", *arguments)
        assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
def test_a_lossy_tokenizer_of_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    import shutil

    lossy = shutil.copytree(folder, tmp_path / "lossy")
    made = json.loads((lossy / "tokenizer.json").read_text())
    made["normalizer"] = {"type": "Lowercase"}
    (lossy / "tokenizer.json").write_text(json.dumps(made))
    with pytest.raises(DataError, match="does not give this text back"):
        prove_model(f"hf:{lossy}", TEXT.encode())

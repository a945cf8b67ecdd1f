"""The released lm-evaluation-harness drives an artifact, and its bits per byte are those of `regrow eval`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import regrow
from regrow.artifact.artifact import Artifact

ROOT = Path(__file__).parents[2]
pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow  # the harness takes seconds to import

TEXT = "the state of the union is strong. " * 60  # less than 2048 tokens: one stream

TASK = """
task: local_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
"""


def asked(*arguments: Any) -> SimpleNamespace:
    return SimpleNamespace(args=arguments)


@pytest.fixture(scope="module")
def model(small_artifact: Path) -> Any:
    from regrow.predict.lm_eval import RegrowLM

    return RegrowLM(artifact=str(small_artifact))


def stepwise(artifact: Artifact, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each token and whether it is the likeliest, by predict and update alone."""
    predictor, nats, best = artifact.predictor(1), [], []
    for token in tokens:
        log_probs_V = predictor.predict()[0].numpy()
        nats.append(-log_probs_V[token])
        best.append(log_probs_V.argmax() == token)
        predictor.update(np.array([token]))
    return np.array(nats), np.array(best)


@pytest.mark.parametrize("documents", [[TEXT], [TEXT, "a short one, és.", TEXT[:500]]])
def test_bits_per_byte_of_a_task_are_those_of_eval(
    small_artifact: Path, tmp_path: Path, documents: list[str]
) -> None:
    file, results = tmp_path / "text.jsonl", tmp_path / "results"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    (tmp_path / "local.yaml").write_text(TASK.format(file=file))
    done = subprocess.run(
        [sys.executable, "-m", "regrow.predict.lm_eval", "--model", "regrow", "--tasks", "local_text",
         "--model_args", f"artifact={small_artifact}", "--include_path", tmp_path, "--output_path", results],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(next(results.rglob("results_*.json")).read_text())
    assert told["config"]["model_sha"] == Artifact.load(small_artifact).sha256
    sizes = [len(text.encode()) for text in documents]
    bits = [
        size * regrow.evaluate(small_artifact, text.encode()).bpb.blended
        for size, text in zip(sizes, documents, strict=True)
    ]
    assert told["results"]["local_text"]["bits_per_byte,none"] == pytest.approx(
        sum(bits) / sum(sizes), abs=1e-9
    )


def test_the_entry_point_that_later_releases_look_for_is_the_model(model: Any) -> None:
    from lm_eval.api.registry import Registry

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    group = "lm_eval.models"
    registry: Registry = Registry("model")
    registry.register("regrow", target=EntryPoint("regrow", declared[group]["regrow"], group))
    assert registry.get("regrow") is type(model)


def test_a_continuation_costs_what_predict_and_update_say(model: Any, small_artifact: Path) -> None:
    artifact = Artifact.load(small_artifact)
    pairs = [
        ("the state of", " the union"),
        ("", "the state"),
        ("the state of the uni", "on is"),
        (TEXT, " so"),
    ]
    found = model.loglikelihood([asked(*pair) for pair in pairs])
    for (context, continuation), (log_prob, greedy) in zip(pairs, found, strict=True):
        whole = artifact.tokenizer.encode((context + continuation).encode())
        before = artifact.tokenizer.encode(context.encode())
        start = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
        nats, best = stepwise(artifact, whole)
        assert log_prob == pytest.approx(-math.fsum(nats[start:]), abs=1e-4)
        assert greedy == best[start:].all()


def test_greedy_text_is_what_is_called_greedy_and_ends_where_asked(model: Any) -> None:
    (text,) = model.generate_until([asked("the state of the union ", {"until": [], "max_gen_toks": 24})])
    assert text and model.loglikelihood([asked("the state of the union ", text)])[0][1]
    middle = text[len(text) // 2 : len(text) // 2 + 3]
    settings = {"until": [middle, "never"], "max_gen_toks": 24, "do_sample": False, "temperature": 0.0}
    assert model.generate_until([asked("the state of the union ", settings)]) == [text[: text.index(middle)]]


def test_sampled_text_depends_on_the_seed_alone(model: Any) -> None:
    drawn = [
        model.generate_until(
            [asked("the", {"do_sample": True, "temperature": 3.0, "max_gen_toks": 30, "seed": seed})]
        )
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]

"""Advice that names a value works: whoever sets that value is not refused again for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from regrow.cli import main
from regrow.core.config.load import apply_overrides
from regrow.core.config.schema import Config
from regrow.core.errors import ConfigError, DataError, NgramError
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.predict.adaptive.predictor import Adaptation

LETTERS = "abcdefghijklmnopqrstuvwxyz"
HARD_TEXTS = {
    "letters one a line": "".join(f"{letter}\n" for letter in LETTERS * 400),
    "white space": " \n\t \n" * 2000,
    "blanks": " " * 5000,
    "one word": "word " * 2000,
    "a thousand letters": "".join(f"{chr(0x4E00 + i % 1000)}\n" for i in range(9000)) + "one word\n" * 99,
    "digits": "".join(f"{i}\n" for i in range(500)),
    "not UTF-8": "".join(chr(0xDC80 + i % 128) for i in range(3000)),
}


@pytest.mark.parametrize("kind", HARD_TEXTS)
@pytest.mark.parametrize("size", [1024, 300])
def test_the_vocabulary_that_is_advised_can_be_had(
    kind: str, size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not "at most 257" for a text that gives fewer, and not a number that gives another refusal."""
    (tmp_path / "a.txt").write_bytes(HARD_TEXTS[kind].encode("utf-8", "surrogateescape"))
    command = ["data", str(tmp_path / "a.txt"), "--out", str(tmp_path / "data"), "--quiet"]
    code = main([*command, "--set", f"data.vocab_size={size}"])
    said = capsys.readouterr().err
    assert code == 2 or (kind, size) == ("digits", 300)
    if code:
        advised = re.search(r"set data\.vocab_size to (\d+)\.", said)
        assert advised, said
        assert main([*command, "--set", f"data.vocab_size={advised[1]}"]) == 0


def bounded_keys() -> list[tuple[str, float, str]]:
    """Every numeric key with a bound: its name, a value beyond the bound, and the relation that is advised."""
    found = []
    for section, kind in get_type_hints(Config, include_extras=True).items():
        for key, annotation in (
            get_type_hints(kind, include_extras=True).items() if section != "preset" else ()
        ):
            for meta in (a for a in get_args(annotation) if isinstance(a, msgspec.Meta)):
                for relation, bound, step in (
                    (">=", meta.ge, -1), (">", meta.gt, 0), ("<=", meta.le, 1), ("<", meta.lt, 0)
                ):  # fmt: skip
                    if bound is not None:
                        found.append((f"{section}.{key}", bound + step, relation))
    return found


@pytest.mark.parametrize(("key", "beyond", "relation"), bounded_keys())
def test_a_bound_that_is_named_is_one_that_is_accepted(key: str, beyond: float, relation: str) -> None:
    """Two places that know a key's range must agree."""
    with pytest.raises(ConfigError) as refused:
        apply_overrides(Config(), [f"{key}={beyond}"])
    named = re.search(rf"expected `?(?:int|float)`? {relation} ([\d.e+]+)\.$", str(refused.value))
    assert named, refused.value
    bound = float(named[1])
    value: Any = {">=": bound, "<=": bound, ">": bound + 0.5, "<": bound - 0.5}[relation]
    try:
        apply_overrides(Config(), [f"{key}={int(value) if value == int(value) else value}"])
    except ConfigError as error:  # what else depends on the key may have to follow, but not the key itself
        assert not re.search(rf": {re.escape(key)} is ", str(error)), error


CHOICES: list[tuple[list[str], list[list[str]]]] = [
    (["data.val_fraction=1"], [["data.val_fraction=0.99"]]),
    (["model.d_model=100"], [["model.d_model=64"], ["model.d_model=192"]]),
    (["model.n_head=5"], [["model.n_head=8"]]),
    (["model.n_kv_head=3"], [["model.n_kv_head=4"]]),
    (["model.rope_dims=66"], [["model.rope_dims=64"]]),
    (["model.window=600"], [["model.window=512"], ["model.window=0"]]),
    (["model.r=0"], [["model.r=1"], ["model.r=256"], ["model.seeded=none"]]),
    (["model.r=-1"], [["model.r=1"]]),
    (["model.base_gain=-1"], [["model.base_gain=0.001"]]),
    (["mixer.kind=none"], [["mixer.kind=gate"], ["memory.kind=none"]]),
    (["memory.cap_bytes=16000001"], [["memory.cap_bytes=16000000"]]),
    (["memory.kind=hashed", "memory.max_order=1"], [["memory.max_order=2"], ["memory.max_order=16"]]),
    (["memory.buckets=[64]"], [["memory.buckets=[]"]]),
    (
        ["memory.kind=hashed", "memory.max_order=4", "memory.buckets=[64]"],
        [["memory.buckets=[64,64,64]"], ["memory.buckets=[]"]],
    ),
    (["memory.folds=1"], [["memory.folds=2"], ["memory.folds=0"]]),
    (["train.batch_tokens=0"], [["train.batch_tokens=512"], ["train.batch_tokens=1024"]]),
    (["train.batch_tokens=700"], [["train.batch_tokens=512"]]),
    (["train.max_seconds=0"], [["train.max_steps=1"], ["train.max_tokens=1"], ["train.max_seconds=0.1"]]),
    (["eval.stride=513"], [["eval.stride=512"], ["eval.stride=0"]]),
]


@pytest.mark.parametrize(("wrong", "advised"), CHOICES, ids=lambda part: " ".join(map(str, part)))
def test_each_way_out_that_a_refusal_names_is_one(wrong: list[str], advised: list[list[str]]) -> None:
    """Every value named by a rule between keys, set on top of what was refused."""
    with pytest.raises(ConfigError) as refused:
        apply_overrides(Config(), wrong)
    for override in (override for way in advised for override in way):
        key = override.partition("=")[0]
        assert key in str(refused.value) or key.partition(".")[2] in str(refused.value)
    for way in advised:
        apply_overrides(Config(), [*wrong, *way])


def test_the_bounds_that_counts_name_are_accepted() -> None:
    """From Python as from the command line."""
    for wrong, key, values in (
        ({"vocab_size": 1}, "vocab_size", r"from (\d+) to (\d+)"),
        ({"max_order": 17}, "max_order", r"from (\d+) to (\d+)"),
        ({"cap_bytes": 5}, "cap_bytes", r"at least (\d+), or (0)"),
    ):
        with pytest.raises(NgramError) as refused:
            NgramCounts(**{"vocab_size": 300, **wrong})
        named = re.search(values, str(refused.value))
        assert named, refused.value
        for value in named.groups():
            NgramCounts(**{"vocab_size": 300, **wrong, key: int(value)})


def test_a_text_shorter_than_a_chunk_can_be_scored_as_advised() -> None:
    """A smaller chunk may not exist (it is a multiple of all streams' windows); training on none always does."""
    short = Adaptation.of(apply_overrides(Config(), ["eval.ttt=adapters", "eval.ttt_chunk_tokens=8192"]))
    with pytest.raises(DataError, match=r'set eval\.ttt = "none"'):
        short.check(100, "a.txt")
    Adaptation.of(apply_overrides(Config(), ["eval.ttt_chunk_tokens=8192", "eval.ttt=none"])).check(
        100, "a.txt"
    )

"""The stand-ins of a bundled script: each gives what the package it stands for gives."""

from __future__ import annotations

import importlib
import tomllib
from typing import Annotated, Any, Literal

import constriction
import msgspec
import numpy as np
import pytest
import safetensors.torch
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

from regrow.artifact.range_coder import spread_weights
from regrow.challenge.submit.bundle import bundle, stand_in_names
from regrow.challenge.submit.fallbacks import constriction as our_constriction
from regrow.challenge.submit.fallbacks import msgspec as our_msgspec
from regrow.challenge.submit.fallbacks import safetensors as our_safetensors
from regrow.challenge.submit.fallbacks import tomli_w as our_tomli_w
from regrow.core.config.load import load_preset, preset_names
from regrow.core.config.schema import Config
from regrow.submission.fallbacks.safetensors import torch as our_safetensors_torch

REAL, OURS = constriction.stream, our_constriction.stream


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(1, 300), st.sampled_from([0.1, 1.0, 9.0, 40.0])
)
def test_the_range_coder_writes_the_same_words(seed: int, vocabulary: int, size: int, spread: float) -> None:
    """Rows from nearly even to nearly certain, likely symbols and unlikely ones; coded in several calls, and decoded
    by either."""
    rng = np.random.Generator(np.random.PCG64(seed))
    logits = rng.normal(size=(size, vocabulary)) * spread
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights, _ = spread_weights(probs / probs.sum(axis=1, keepdims=True))
    symbols = np.where(
        rng.random(size) < 0.7, weights.argmax(axis=1), rng.integers(0, vocabulary, size)
    ).astype(np.int32)
    coders = [stream.queue.RangeEncoder() for stream in (REAL, OURS)]
    cut = size // 3
    for coder, stream in zip(coders, (REAL, OURS), strict=True):
        family = stream.model.Categorical(perfect=False)
        for part in (slice(0, cut), slice(cut, size)):
            if part.stop > part.start:
                coder.encode(symbols[part], family, weights[part])
        fixed = stream.model.Categorical(weights[0], perfect=False)
        coder.encode(symbols % vocabulary, fixed)
    words, ours = (coder.get_compressed() for coder in coders)
    assert np.array_equal(words, ours)
    for stream in (REAL, OURS):
        decoder = stream.queue.RangeDecoder(words)
        assert np.array_equal(decoder.decode(stream.model.Categorical(perfect=False), weights), symbols)
        assert np.array_equal(
            decoder.decode(stream.model.Categorical(weights[0], perfect=False), size), symbols
        )
        assert decoder.maybe_exhausted()


@given(st.integers(0, 2**32 - 1))
def test_long_runs_of_held_back_words_are_the_same(seed: int) -> None:
    """Two symbols, the first almost certain and the last hardly possible: carries run far."""
    rng = np.random.Generator(np.random.PCG64(seed))
    free = (1 << 24) - 3
    weights = np.array([0, free - 1, 1], np.float32)
    symbols = rng.choice(3, size=400, p=[0.05, 0.15, 0.8]).astype(np.int32)
    words = []
    for stream in (REAL, OURS):
        coder = stream.queue.RangeEncoder()
        coder.encode(symbols, stream.model.Categorical(weights, perfect=False))
        words.append(coder.get_compressed())
    assert np.array_equal(*words)


def test_words_that_nobody_wrote_are_refused_alike() -> None:
    """Where the library raises, ours does."""
    rng = np.random.Generator(np.random.PCG64(3))
    weights = np.array([5, (1 << 24) - 2 - 5], np.float32)
    outcomes: list[list[object]] = []
    for stream in (REAL, OURS):
        outcomes.append([])
        for _ in range(40):
            words = rng.integers(0, 1 << 32, 3).astype(np.uint32)
            decoder = stream.queue.RangeDecoder(words)
            try:
                outcomes[-1].append(
                    decoder.decode(stream.model.Categorical(weights, perfect=False), 60).tolist()
                )
            except AssertionError:
                outcomes[-1].append("refused")
        rng = np.random.Generator(np.random.PCG64(3))
    assert outcomes[0] == outcomes[1]


def _types(library: Any) -> Any:
    """The same structs made with either library."""
    Struct, Meta = library.Struct, library.Meta

    class Inner(Struct, frozen=True, forbid_unknown_fields=True):
        count: Annotated[int, Meta(ge=1)] = 3
        rate: Annotated[float, Meta(ge=0, le=1)] = 0.5
        kind: Literal["a", "b"] = "a"

    class Outer(Struct):
        name: str
        inner: Inner = Inner()
        maybe: float | None = None
        table: dict[str, int] = {}  # noqa: RUF012 - copied for each struct
        items: list[str] = []  # noqa: RUF012
        flag: bool = False

    for made in (Inner, Outer):  # annotations are text here, and name what only this function knows
        made.__annotations__ = {
            "count": Annotated[int, Meta(ge=1)], "rate": Annotated[float, Meta(ge=0, le=1)], "kind": Literal["a", "b"],
        } if made is Inner else {
            "name": str, "inner": Inner, "maybe": float | None, "table": dict[str, int], "items": list[str],
            "flag": bool,
        }  # fmt: skip
    return Outer


TABLES: list[Any] = [
    {"name": "x"},
    {
        "name": "x",
        "inner": {"rate": 1, "kind": "b"},
        "maybe": 3,
        "table": {"a": 1},
        "items": ["y"],
        "flag": True,
    },
    {"name": "x", "maybe": None, "unknown": 5},
    {},
    {"name": 5},
    {"name": "x", "inner": {"count": 0}},
    {"name": "x", "inner": {"rate": 1.5}},
    {"name": "x", "inner": {"kind": "c"}},
    {"name": "x", "inner": {"other": 1}},
    {"name": "x", "inner": {"count": True}},
    {"name": "x", "inner": {"count": 1.0}},
    {"name": "x", "inner": 3},
    {"name": "x", "table": {"a": "b"}},
    {"name": "x", "items": [1]},
    {"name": "x", "flag": 1},
    [],
]


@pytest.mark.parametrize("table", TABLES)
def test_structs_take_and_refuse_the_same(table: Any) -> None:
    """What becomes a struct gives the same plain values; what does not is refused, at the same place."""
    results = []
    for library, kind in ((our_msgspec, OUR_TYPE), (msgspec, REAL_TYPE)):
        try:
            results.append((library.to_builtins(library.convert(table, kind)), ""))
        except library.ValidationError as error:
            results.append((None, str(error).rpartition(" - at ")[2]))
    assert results[0] == results[1]


def test_every_preset_becomes_the_same_config() -> None:
    """Config's own classes, read by the stand-in: fields, types, and values in and out."""
    fields = [(field.name, field.type) for field in msgspec.structs.fields(Config)]
    assert fields[0] == ("preset", str)
    for name in preset_names():
        table = msgspec.to_builtins(load_preset(name))
        assert tomllib.loads(our_tomli_w.dumps(table)) == tomllib.loads(tomli_w.dumps(table)) == table
        assert our_msgspec.json.decode(our_msgspec.json.encode(table)) == table
        assert our_msgspec.json.format(our_msgspec.json.encode(table), indent=2) == msgspec.json.format(
            msgspec.json.encode(table), indent=2
        )


@given(
    st.lists(
        st.integers(0, 2**64 - 1) | st.binary(max_size=255) | st.text(max_size=60), min_size=0, max_size=15
    )
)
def test_message_pack_is_the_same(values: list[Any]) -> None:
    """Whole numbers, bytes and words in a list, both ways."""
    packed = msgspec.msgpack.encode(values)
    assert our_msgspec.msgpack.encode(values) == packed
    assert our_msgspec.msgpack.decode(packed) == values
    for spoiled in (packed[:-1], packed + b"\0"):
        with pytest.raises(our_msgspec.DecodeError):
            our_msgspec.msgpack.decode(spoiled)


def test_tensors_are_the_same_file(tmp_path: Any) -> None:
    """Bytes written, and read back by either."""
    tensors = {
        "b/x": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "a": torch.tensor([True, False]),
        "c": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.empty(0, 4),
        "d": torch.tensor(7, dtype=torch.int64),
    }
    ours = our_safetensors_torch.save(tensors, {"state": "{}"})
    assert ours == safetensors.torch.save(tensors, {"state": "{}"})
    (tmp_path / "t").write_bytes(ours)
    with our_safetensors.safe_open(tmp_path / "t", "pt") as file:
        assert file.metadata() == {"state": "{}"}
        assert sorted(file.keys()) == sorted(tensors)
        assert all(torch.equal(file.get_tensor(name), value) for name, value in tensors.items())
    (tmp_path / "t").write_bytes(b"\x05\0\0\0\0\0\0\0{nope")
    with pytest.raises(our_safetensors.SafetensorError):
        our_safetensors.safe_open(tmp_path / "t")


def test_plain_functions_in_numbas_place() -> None:
    """Called with a signature, with options, or bare, it gives the function back, and says once what that costs."""
    with pytest.warns(RuntimeWarning, match="numba is not installed"):
        numba = importlib.import_module("regrow.challenge.submit.fallbacks.numba")

    def double(x: int) -> int:
        return 2 * x

    assert numba.njit("int64(int64)", nogil=True, cache=True)(double)(4) == 8
    assert numba.njit(inline="always")(double)(4) == 8
    assert numba.njit(double)(4) == 8
    extending = importlib.import_module("regrow.challenge.submit.fallbacks.numba.extending")
    assert (
        extending.register_jitable(double)(4) == extending.register_jitable(inline="always")(double)(4) == 8
    )


def test_a_bundle_is_the_same_text_each_time() -> None:
    """From the same config; and it brings a stand-in for each package that the modules in it import and a bare
    machine lacks."""
    text = bundle('preset = "x"\n', "A title.")
    assert text == bundle('preset = "x"\n', "A title.")
    compile(text, "train_gpt.py", "exec")
    assert stand_in_names() == ["constriction", "msgspec", "numba", "safetensors", "tomli_w"]


REAL_TYPE, OUR_TYPE = _types(msgspec), _types(our_msgspec)

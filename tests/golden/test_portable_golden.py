"""Golden distributions: the bits of the memory's rows and of the online mixer's, the same on every machine."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from tests.vocabularies import pieces_of

from regrow.core.jit import signature_of
from regrow.ngram.contexts import contexts_of
from regrow.ngram.counts.hashed_counts import HashedCounts
from regrow.ngram.counts.ngram_counts import NgramCounts
from regrow.ngram.model import backoff_trie, hashed_model, masses, rows
from regrow.ngram.model.hashed_model import HashedModel
from regrow.ngram.model.ngram_model import NgramModel
from regrow.ngram.store import model_from_ngrams
from regrow.ngram.store.linked_ngrams import grams_of
from regrow.ngram.store.table_budget import fit_table
from regrow.ngram.store.table_form import decode_table
from regrow.predict.adaptive import earlier_kernels, kernels
from regrow.predict.adaptive.earlier_mixer import EarlierMixer
from regrow.predict.adaptive.first_stage import StepInputs
from regrow.predict.adaptive.online_mixer import OnlineMixer
from regrow.predict.adaptive.portable_math import exp_of, log_of
from regrow.predict.exact.adaptive import LearningMixer

ORDER = 5


def text(vocab: int, size: int = 6000) -> np.ndarray:
    """Documents of phrases that come again, by integers alone."""
    state, tokens = 7, [1]
    while len(tokens) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        r = state >> 33
        if r % 3 and len(tokens) > 60:
            start = (r >> 4) % (len(tokens) - 20)
            tokens += tokens[start : start + r % 11 + 2]
        else:
            tokens.append(1 if r % 97 == 0 else 2 + (r >> 8) * (r >> 20) % 2**30 % (vocab - 2))
    return np.array(tokens[:size])


def memory(kind: str) -> tuple[NgramModel | HashedModel, np.ndarray]:
    tokens = text(6000 if kind == "wide" else 300)
    if kind == "hashed":
        hashed = HashedCounts(300, ORDER, (257, 512, 300, 64))
        hashed.add(tokens[:4000])
        return HashedModel(hashed), tokens
    counts = NgramCounts(6000 if kind == "wide" else 300, ORDER)
    counts.add(tokens[:4000])
    model = NgramModel.from_counts(counts)
    if kind == "pruned":
        model = decode_table(fit_table(grams_of(counts), model.discounts, 1500))
    return model, tokens


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("exact", "e0b7464b4c17bb50"),
        ("wide", "b68e2c30ad5daad0"),
        ("pruned", "cb9f91594755c9eb"),
        ("hashed", "893306a2a688b4d8"),
    ],
)
def test_the_bits_of_a_row_are_golden(kind: str, digest: str) -> None:
    """With and without a dense base, from whole counts and from pruned ones, and from buckets that collide."""
    model, tokens = memory(kind)
    made = model.rows(contexts_of(tokens, ORDER - 1)[3000:4500])
    found = hashlib.sha256()
    for array in made:
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    assert found.hexdigest()[:16] == digest
    assert np.abs(made.probs_RV.sum(axis=1, dtype=np.float64) - 1).max() < 1e-6


S, V = 2, 60


@pytest.mark.parametrize(
    ("new_mixer", "digest"),
    [
        (lambda: OnlineMixer(S, pieces_of(V), 3, 200), "9c76ea069874d4ef"),
        (lambda: EarlierMixer(S, V, 3, 200), "27e7e678177f3f96"),
    ],
    ids=["present", "of kind 4"],
)
def test_the_bits_of_both_mixers_are_golden(new_mixer: Callable[[], LearningMixer], digest: str) -> None:
    """Two streams that learn from each other, over features that are exact binary fractions."""
    T = 150
    noise = np.cumsum(text(4000, 3 * S * T * V)).reshape(3, S, T, V) % 509
    mixed, network, memory = (-noise / 64).astype(np.float32)
    tokens_ST = text(V, S * T).reshape(S, T)
    inputs = StepInputs(mixed, network, memory, (tokens_ST % 5).astype(np.int32))
    mixer, found = new_mixer(), hashlib.sha256()
    for t in range(T):
        mixer.predict(inputs, t)
        found.update(mixer.rows().astype("<f8").tobytes())
        found.update(mixer.learn(inputs, t, tokens_ST[:, t]).astype("<f8").tobytes())
    assert np.abs(mixer.rows().sum(axis=1) - 1).max() < 1e-12
    assert found.hexdigest()[:16] == digest


def test_logarithm_and_exponential_are_within_their_bound() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    for x in [*np.exp(rng.uniform(-200, 200, 300)), *(1 + rng.uniform(-1e-3, 1e-3, 300)), 1.0]:
        assert abs(log_of(x) - math.log(x)) <= 2e-15 * max(1.0, abs(math.log(x)))
    for x in [*rng.uniform(-600, 600, 300), *rng.uniform(-1e-3, 1e-3, 300), 0.0]:
        assert abs(exp_of(x) / math.exp(x) - 1) <= 2e-15
    assert (exp_of(-1e4), exp_of(1e4)) == (0.0, np.inf)


KERNELS = (
    rows.fill_rows,
    backoff_trie.put,
    masses._sum,
    model_from_ngrams._discount,
    hashed_model._score,
    hashed_model._normalise,
    kernels.predict,
    kernels.learn,
    kernels.rows,
    earlier_kernels.predict,
    earlier_kernels.learn,
    earlier_kernels.rows,
)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name.split(".")[-1])
def test_a_row_is_made_of_single_roundings(kernel: Callable[..., object]) -> None:
    """No fast math, no library's function, and no product and sum in one rounding: not here, and not on 64-bit Arm,
    where fused instructions are part of every processor."""
    compiled = numba.njit(signature_of(kernel), nogil=True)(kernel.__wrapped__)  # type: ignore[attr-defined]
    (code,) = compiled.inspect_llvm().values()
    assert re.search(r"\bf(add|sub|mul|div)\b", code)
    assert not re.search(r"\bf(add|sub|mul|div) (fast|reassoc|contract|arcp|afn)\b", code)
    assert not re.search(r"@(llvm\.)?(fma|fmuladd|exp|log|pow|vector\.reduce\.f)\w*[.(]", code)
    fused = re.compile(r"\b(v?fn?m(add|sub)\w*|fml[as])\b")
    assert not fused.search("\n".join(compiled.inspect_asm().values()))
    arm = on_arm(code)
    assert re.search(r"\bf(add|sub|mul|div)\b", arm) and not fused.search(arm)


def on_arm(code: str) -> str:
    """The machine code that LLVM makes of it for 64-bit Arm."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    code = re.sub(r'target (triple|datalayout) = ".*"\n|"target-[a-z]+"="[^"]*"', "", code)
    # An x86 instruction that counts references: any function will do in its place.
    module = llvm.parse_assembly(code.replace("@llvm.x86.", "@x86.").replace("immarg ", ""))
    module.triple = "aarch64-unknown-linux-gnu"
    target = llvm.Target.from_triple(module.triple)
    assembly: str = target.create_target_machine(cpu="neoverse-n1", opt=3).emit_assembly(module)
    return assembly


def test_fused_instructions_would_be_seen() -> None:
    compiled = numba.njit("float64(float64, float64, float64)", fastmath=True)(lambda a, b, c: a * b + c)
    (code,) = compiled.inspect_llvm().values()
    assert re.search(r"\bfmadd\b", on_arm(code))

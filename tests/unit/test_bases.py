"""Frozen bases: orthogonal in exact integers, dense, of Gaussian shape, functions of (seed, rows, cols)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regrow.core.errors import ConfigError
from regrow.network import hadamard
from regrow.network.bases import BaseKind, base_sha256, seeded_base, seeded_orthogonal, seeded_uniform
from regrow.network.hadamard import block_and_rounds, derive_seed, integer_base, random_words

SHAPES = [(64, 64), (64, 320), (448, 192), (512, 512), (1536, 512), (256, 1536), (1600, 64), (4160, 64)]


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_the_gram_matrix_along_the_shorter_side_is_exact_in_integers(rows: int, cols: int) -> None:
    block, rounds = block_and_rounds(max(rows, cols))
    entries = integer_base(3, rows, cols).astype(np.float64)  # sums below 2^53 are exact, and BLAS is quick
    gram = entries @ entries.T if rows <= cols else entries.T @ entries
    assert np.array_equal(gram.astype(np.int64), block**rounds * np.eye(min(rows, cols), dtype=np.int64))


def test_a_square_is_orthogonal_in_64_bit_integers_from_both_sides() -> None:
    entries = integer_base(9, 192, 192).astype(np.int64)
    identity = 64**3 * np.eye(192, dtype=np.int64)
    assert np.array_equal(entries @ entries.T, identity)
    assert np.array_equal(entries.T @ entries, identity)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_the_float_base_is_the_integer_base_times_one_constant(rows: int, cols: int) -> None:
    block, rounds = block_and_rounds(max(rows, cols))
    scale = np.float32(1.25 / np.sqrt(float(block) ** rounds))
    entries = integer_base(3, rows, cols)
    assert np.abs(entries).max() < 1 << 24  # exact in float32
    expected = entries.astype(np.float32) * scale
    assert np.array_equal(seeded_orthogonal(3, rows, cols, gain=1.25).numpy(), expected)


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["hadamard", "qr"])
def test_every_singular_value_is_the_gain(kind: BaseKind, gain: float) -> None:
    values = torch.linalg.svdvals(seeded_base(kind, 1, 128, 320, gain).double())
    assert torch.allclose(values, torch.full((128,), gain, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("side", [512, 1536])
def test_entries_have_no_share_of_zeros_and_a_gaussian_fourth_moment(side: int) -> None:
    entries = integer_base(0, side, side)
    assert (entries == 0).mean() < 0.01
    moments = entries.astype(np.float64) / entries.std()
    assert 2.9 < (moments**4).mean() < 3.1
    assert ((moments**4).mean(axis=1) < 5).all(), "no row is much heavier in the tail than a Gaussian one"


def test_two_rounds_would_leave_many_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why there are three: after two, an entry sums few signs of one parity, and those cancel often."""
    monkeypatch.setattr(hadamard, "_MIN_ROUNDS", 2)
    monkeypatch.setattr(hadamard, "_MIN_PATHS", 1)
    assert (integer_base(0, 512, 512) == 0).mean() > 0.05
    assert (integer_base(0, 512, 1600) == 0).mean() > 0.2


@pytest.mark.parametrize("side", [1600, 4160])
def test_small_blocks_get_the_rounds_that_keep_large_sides_dense(side: int) -> None:
    assert (integer_base(0, 64, side) == 0).mean() < 0.05


def test_the_number_of_rounds_grows_with_the_number_of_blocks() -> None:
    assert [block_and_rounds(side) for side in (512, 1536, 4096, 4160)] == [
        (512, 3),
        (512, 3),
        (4096, 3),
        (64, 4),
    ]


def test_bits_do_not_depend_on_the_number_of_threads_or_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = base_sha256(seeded_orthogonal(5, 448, 320))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert base_sha256(seeded_orthogonal(5, 448, 320)) == expected
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(hadamard, "_CHUNK_BYTES", 1)
    assert base_sha256(seeded_orthogonal(5, 448, 320)) == expected


def test_the_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = seeded_orthogonal(5, 64, 64)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(seeded_orthogonal(5, 64, 64), first)


def test_seeds_and_shapes_give_unrelated_matrices() -> None:
    first, second = seeded_orthogonal(0, 512, 512), seeded_orthogonal(1, 512, 512)
    assert abs((first * second).sum().item()) < 5  # 512 for equal matrices, deviation 1 for unrelated ones
    slice_of_wider = seeded_orthogonal(0, 512, 1536)[:, :512]
    assert abs((first * slice_of_wider).sum().item()) < 5


def test_layers_seeded_from_one_root_are_unrelated_along_their_diagonals() -> None:
    """Consecutive matrices of a deep network must not undo or repeat one another."""
    layers = [seeded_orthogonal(derive_seed(0, f"layers.{i}.up"), 256, 256).double() for i in range(4)]
    product = layers[0]
    for layer in layers[1:]:
        product = product @ layer
    assert abs(product.diagonal().mean().item()) < 0.02  # deviation of the mean is 1/256


@pytest.mark.parametrize(("kind", "tolerance"), [("hadamard", 1e-6), ("qr", 1e-6), ("gaussian", 0.02)])
@pytest.mark.parametrize(("rows", "cols"), [(128, 512), (512, 128)])
def test_all_kinds_have_the_same_frobenius_norm(
    kind: BaseKind, tolerance: float, rows: int, cols: int
) -> None:
    norm = seeded_base(kind, 4, rows, cols, 2.0).double().norm().item()
    assert norm == pytest.approx(2.0 * 128**0.5, rel=tolerance)


def test_gaussian_entries_are_standard_normal_in_their_first_four_moments() -> None:
    entries = seeded_base("gaussian", 4, 512, 512).double() * 512**0.5
    moments = [entries.pow(power).mean().item() for power in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)


def test_random_words_are_balanced_bit_by_bit_and_streams_differ() -> None:
    words = random_words(0, 0, 1 << 14)
    bits = np.unpackbits(words.view(np.uint8)).reshape(len(words), 64)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / 128  # five standard deviations
    other = random_words(0, 1, 1 << 14)
    assert abs(np.bitwise_count(words ^ other).mean() - 32) < 5 * 4 / 128


def test_a_prefix_of_a_stream_is_a_stream() -> None:
    """The generator is a function of the counter: asking for more never changes what came before."""
    assert np.array_equal(random_words(7, 3, 10), random_words(7, 3, 1000)[:10])


def test_uniform_entries_fill_their_bounds() -> None:
    entries = seeded_uniform(1, 64, 512, 0.25)
    assert entries.abs().max().item() < 0.25
    assert entries.max().item() > 0.2499 and entries.min().item() < -0.2499
    assert entries.double().pow(2).mean().item() == pytest.approx(0.25**2 / 3, rel=0.03)


@pytest.mark.parametrize(
    ("rows", "cols", "part"),
    [(64, 100, "use 128 columns"), (0, 64, "use 64 rows"), (-64, 64, "rows"), (64, 65536, "above 32768")],
)
def test_impossible_sides_are_refused_with_the_fix(rows: int, cols: int, part: str) -> None:
    for make in (seeded_orthogonal, integer_base):
        with pytest.raises(ConfigError, match=part):
            make(0, rows, cols)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seeds_beyond_eight_bytes_are_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="8 bytes"):
        seeded_orthogonal(seed, 64, 64)
    with pytest.raises(ConfigError, match="8 bytes"):
        derive_seed(seed, "a")


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="hadamard, qr, gaussian"):
        seeded_base("orthogonal", 0, 64, 64)  # type: ignore[arg-type]


def test_the_largest_side_does_not_overflow() -> None:
    entries = integer_base(0, 32768, 64).astype(np.float64)
    assert np.array_equal(entries.T @ entries, float(32768**3) * np.eye(64))

"""The bits of a base are a promise: an artifact stores a seed, and every machine regrows these entries.

A hash that changes here makes every artifact ever written unreadable. Raise the artifact's format version
instead of editing one.
"""

from __future__ import annotations

import hashlib

import pytest

from regrow.network.bases import base_sha256, seeded_orthogonal, seeded_uniform
from regrow.network.hadamard import derive_seed, integer_base, random_words

GOLDEN = [
    (0x2F29A4834BFE6C02, 64, 64, "104f584656cd62acda86083462c88614401fa434de3bf80f5615609f6ed43daa"),
    (0x1779F5093D64ABA2, 512, 512, "907e44a25af5416972486fd1eb141e6c3e6070f0978fb958bfc37efda9233f2d"),
    (0x5634E44256B43249, 256, 512, "6f0281de888e95f780ee619d8217f2388f001fadcc77ecc7ddd6d36a8567e78d"),
    (0xA00A53D5CB5D4821, 512, 256, "0e9a406da6e7e23d160bc7214634f81e3eb0a51aa6f087213ca07a151b751cc3"),
    (0x188E38AF93DAA846, 1536, 512, "77d03938b339fe23013e36439624bd32e4bb6ea4c452b8c3852907ff06e3f386"),
    (0x576A3FFBD0B405A4, 512, 1536, "8dc75a2d383e1e2929eaf1fa42714ebe017ed1734b20f7d5c637757037f9c1eb"),
    (0x8BC840B8D82BEC8A, 1536, 1536, "be14c956cc02feb784d23c2e0157905c91bef963a3fede57419466549efb46c1"),
    (0xE29A1718323626E0, 1024, 256, "af5ff66f45153d1a001d44b586b7df0d846f529905463bea21c58c8b449ff428"),
    (0xDDF16DC40797D1C0, 1600, 64, "2e08840a5b2f8583638c5422ba98edfed865ae946d1f0f560d849eb45e518a46"),
    (0x005F538704EE7259, 64, 4160, "bb4ce5f353bd6116e633c02d33166fa78991c3a3749b200964e322aae38ace8f"),
]


@pytest.mark.parametrize(("seed", "rows", "cols", "sha256"), GOLDEN)
def test_a_base_has_these_bits_on_every_machine(seed: int, rows: int, cols: int, sha256: str) -> None:
    assert base_sha256(seeded_orthogonal(seed, rows, cols)) == sha256


def test_a_gain_and_the_integers_behind_a_base_are_stable_too() -> None:
    assert base_sha256(seeded_orthogonal(1, 128, 192, gain=0.1)) == (
        "f24b264536bbf00fc29296a5396e07feb14020d171a30377c58d80360b0883c6"
    )
    integers = integer_base(1, 128, 192).astype("<i4").tobytes()
    assert hashlib.sha256(integers).hexdigest() == (
        "7d6bf065f93d7d56329a86805d607da03a45deaec98e9e41ee170eb0c62659ad"
    )


def test_the_integer_generator_is_stable() -> None:
    words = [*random_words(0, 0, 2).tolist(), *random_words(2**64 - 1, 5, 2).tolist()]
    assert words == [
        0xA706DD2F4D197E6F,
        0xB382A305F4414F5E,
        0x0159EA98CB5D2474,
        0x83B7622CCCFC4EDD,
    ]


def test_uniform_entries_are_stable() -> None:
    assert base_sha256(seeded_uniform(3, 8, 100, 0.125)) == (
        "fa74bf30a2033aca7eb8b3badf434fd81b9d66f9a56f29df0cdcc8327aae55c3"
    )


def test_derived_seeds_are_stable() -> None:
    assert derive_seed(0, "layers.0.q") == 0x674D0EE7CC33FE06
    assert derive_seed(2**64 - 1, "") == 0x5DCE615644AEA312
    assert derive_seed(1, "é") == 0x0DD4DC0A6EBB3D88

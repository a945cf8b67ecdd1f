"""What is held out: near the share of the bytes asked for, and nothing of it is trained on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.data.documents import MIN_PART_BYTES, Texts, hold_out


def document(number: int, size: int) -> bytes:
    line = b"document %d, line %%d\n" % number
    lines: list[bytes] = []
    while sum(map(len, lines)) < size:
        lines.append(line % len(lines))
    return b"".join(lines)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40_000), st.sampled_from([1, 1, 1, 2])), min_size=1, max_size=30),
    st.sampled_from([0.05, 0.1, 0.3]),
)
def test_the_held_out_bytes_are_near_the_share_asked_for(
    shapes: list[tuple[int, int]], fraction: float
) -> None:
    """Few or many documents, of any size; only copies, and what is too small to cut, stand in the way."""
    texts = [document(i, size) for i, (size, copies) in enumerate(shapes) for _ in range(copies)]
    train, held = hold_out(Texts.of(texts), fraction, "x")
    total = sum(map(len, texts))
    assert train.total_bytes and held.total_bytes
    lines = {line for text in train for line in bytes(text).splitlines()}
    assert not any(line in lines for text in held for line in bytes(text).splitlines())
    if len(shapes) > 1:
        assert train.total_bytes + held.total_bytes == total, "nothing is lost"
    if len(set(texts)) == len(texts):
        assert abs(held.total_bytes - fraction * total) <= 0.13 * fraction * total + MIN_PART_BYTES


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30_000), min_size=2, max_size=12, unique=True), st.randoms())
def test_the_order_of_documents_does_not_matter(sizes: list[int], rng: object) -> None:
    texts = [document(i, size) for i, size in enumerate(sizes)]
    train, held = hold_out(Texts.of(texts), 0.1, "x")
    shuffled = texts.copy()
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    again = hold_out(Texts.of(shuffled), 0.1, "x")
    assert [sorted(map(bytes, part)) for part in again] == [
        sorted(map(bytes, part)) for part in (train, held)
    ]

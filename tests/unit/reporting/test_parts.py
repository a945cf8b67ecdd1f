"""The report's parts: the curve after restarts, axes, visible bytes, the saved excerpt."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.core.errors import ArtifactError, DataError, EnvironmentProblem
from regrow.report import formats
from regrow.report.curve import Line, load_curve, smoothed, thinned
from regrow.report.excerpt import Excerpt, ExcerptDocument, ExcerptToken, load_excerpt, save_excerpt
from regrow.report.excerpt_view import SHADES, better_part, excerpt_view, shade
from regrow.report.plot import HEIGHT, WIDTH, axis, path, short_numbers
from regrow.report.visible_bytes import visible

finite = st.floats(-1e9, 1e9, allow_nan=False)


def line(values: list[float]) -> Line:
    steps = [float(i) for i in range(len(values))]
    return Line(steps, steps, steps, values)


def log(tmp_path: Path, *records: object) -> Path:
    text = "".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records)
    (tmp_path / "log.jsonl").write_text(text)
    return tmp_path / "log.jsonl"


def record(step: int, bpb: float, **more: float) -> dict[str, float]:
    return {"step": step, "tokens": step * 8, "seconds": step / 2, "bpb": bpb, **more}


def test_after_a_resume_the_curve_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    written = log(tmp_path, record(10, 3), record(20, 2.5), record(30, 2.4), record(20, 2.6), record(30, 2.3))
    curve = load_curve(written)
    assert curve is not None
    assert curve.network.steps == [10, 20, 30] and curve.network.bpb == [3, 2.6, 2.3]


def test_a_run_begun_anew_in_the_same_folder_replaces_the_old_curve(tmp_path: Path) -> None:
    curve = load_curve(log(tmp_path, record(10, 3), record(20, 2.5, blended_bpb=2.2), record(10, 2.9)))
    assert curve is not None
    assert curve.network.bpb == [2.9] and len(curve.mixture) == 0


def test_a_line_cut_short_is_counted_and_left_out_and_numbers_that_are_none_too(tmp_path: Path) -> None:
    bad = ['{"step": 20, "tok\n', "[]\n", '{"step": 30, "tokens": 1, "seconds": "x", "bpb": 1}\n', "\n"]
    nothing = '{"step": 40, "tokens": 1, "seconds": 1, "bpb": null}\n'
    curve = load_curve(log(tmp_path, record(10, 3), *bad, nothing))
    assert curve is not None and curve.unreadable == 4 and curve.network.bpb == [3]


def test_without_a_log_or_with_an_empty_one_there_is_no_curve(tmp_path: Path) -> None:
    assert load_curve(tmp_path / "log.jsonl") is None
    assert load_curve(log(tmp_path)) is None


@given(st.lists(finite, min_size=1, max_size=60), finite, finite)
def test_smoothing_keeps_straight_lines_straight_and_stays_within_the_values(
    values: list[float], slope: float, start: float
) -> None:
    straight = [start + slope * i for i in range(50)]
    scale = max(1.0, abs(start), abs(slope) * 50)
    assert all(
        math.isclose(a, b, abs_tol=1e-9 * scale)
        for a, b in zip(smoothed(line(straight)).bpb, straight, strict=True)
    )
    soft = smoothed(line(values)).bpb
    slack = 1e-6 + 1e-9 * max(map(abs, values))
    assert min(values) - slack <= min(soft) and max(soft) <= max(values) + slack


def test_smoothing_does_not_reach_across_a_cut() -> None:
    values = [1.0] * 50 + [2.0] * 50
    assert smoothed(line(values), cut=50).bpb == values
    assert smoothed(line(values)).bpb != values


def test_a_long_log_becomes_as_many_points_as_a_picture_can_show_with_the_same_mean() -> None:
    values = [math.sin(i) for i in range(6000)]
    thin = thinned(line(values))
    assert len(thin) == 600
    assert math.isclose(math.fsum(thin.bpb) / 600, math.fsum(values) / 6000, abs_tol=1e-12)
    assert thinned(line(values[:600])) == line(values[:600])


@given(finite, st.floats(1e-6, 1e9), st.integers(2, 9), st.booleans())
def test_an_axis_holds_its_values_and_has_ticks_one_can_tell_apart(
    low: float, span: float, wanted: int, snap: bool
) -> None:
    high = low + span
    if not (high - low) > abs(low) * 1e-6:
        return
    made = axis(low, high, wanted, snap=snap)
    slack = 1e-6 * span
    assert made.low <= low + slack and made.high >= high - slack
    assert 1 <= len(made.ticks) <= wanted + 2
    assert all(made.low - slack <= t <= made.high + slack for t in made.ticks)
    assert len(set(short_numbers(made.ticks))) == len(made.ticks)


def test_an_axis_over_one_value_is_no_division_by_zero() -> None:
    assert axis(1.5, 1.5).ticks and axis(0.0, 0.0).ticks


def test_labels_are_short() -> None:
    assert short_numbers([0, 50_000, 100_000]) == ["0", "50k", "100k"]
    assert short_numbers([0.0, 2e6, 4e6]) == ["0", "2M", "4M"]
    assert short_numbers([1.0, 1.2, 1.4]) == ["1.0", "1.2", "1.4"]


def test_a_path_goes_through_the_corners_of_its_box() -> None:
    assert path([0, 10], [1, 3], axis(0, 10), axis(1, 3)) == f"M0.0 {HEIGHT}L{WIDTH} 0.0"
    assert path([], [], axis(0, 1), axis(0, 1)) == ""


@given(st.binary(max_size=40))
def test_visible_bytes_hold_no_letter_that_acts_instead_of_being_seen(token: bytes) -> None:
    shown = visible(token).replace("\u21b5\n", "")
    assert all(unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in shown)
    assert bool(shown) or set(token) <= {10}


def test_letters_are_shown_as_they_are_and_what_turns_text_around_is_not() -> None:
    assert visible(" the é 中 \u2581".encode()) == " the é 中 \u2581"
    assert visible("a\u202eb".encode()) == "a⟨U+202E⟩b"
    assert visible(b"\xe2\x80") == "⟨e2 80⟩"
    assert visible(b"\r\n") == "␍↵\n"


costs = st.builds(
    ExcerptToken,
    token=st.integers(0, 65535),
    text=st.binary(max_size=9),
    mixture=st.floats(0, 60),
    network=st.floats(0, 60),
    memory=st.none() | st.floats(0, 60),
    order=st.none() | st.integers(1, 16),
)


@given(st.lists(costs, max_size=9))
def test_a_saved_excerpt_comes_back_whatever_its_bytes(tokens: list[ExcerptToken]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_excerpt(Path(folder), types.SimpleNamespace(excerpt=tokens, documents=[]))  # type: ignore[arg-type]
        assert load_excerpt(Path(folder)) == Excerpt(tokens)


def test_a_excerpt_has_the_fields_that_evaluation_gives_it() -> None:
    from regrow.predict.evaluation import DocumentCost, TokenCost

    assert ExcerptToken.__struct_fields__ == tuple(f.name for f in dataclasses.fields(TokenCost))
    assert ExcerptDocument.__struct_fields__ == tuple(f.name for f in dataclasses.fields(DocumentCost))


def test_a_cost_that_rounds_below_zero_is_none_at_all(tmp_path: Path) -> None:
    tokens = [ExcerptToken(1, b"a", -1e-9, 0.0, -1e-12, 1)]
    save_excerpt(tmp_path, types.SimpleNamespace(excerpt=tokens, documents=[]))  # type: ignore[arg-type]
    loaded = load_excerpt(tmp_path)
    assert loaded is not None and loaded.tokens[0].mixture == 0.0 and loaded.tokens[0].memory == 0.0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tokens": [{}]}', '{"tokens": [], "schema": 2}', '{"tokens": 3}', "\x00"]
)
def test_a_damaged_excerpt_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "excerpt.json").write_text(text)
    with pytest.raises(DataError) as caught:
        load_excerpt(tmp_path)
    assert "excerpt.json" in str(caught.value) and str(caught.value).endswith("regrow eval.")


def test_no_excerpt_is_none(tmp_path: Path) -> None:
    assert load_excerpt(tmp_path) is None


@given(st.floats(0, 100))
def test_more_bits_never_have_a_paler_shade(bits: float) -> None:
    assert 0 <= shade(bits) <= len(SHADES)
    assert shade(bits) <= shade(bits + 0.5)


def test_the_better_part_is_the_one_that_gave_more_probability() -> None:
    def token(network: float, memory: float | None) -> ExcerptToken:
        return ExcerptToken(0, b"a", 1.0, network, memory, None)

    assert better_part(token(2.0, 1.0)) == "memory" and better_part(token(1.0, 2.0)) == "network"
    assert better_part(token(1.0, None)) == "network" and better_part(token(1.0, 1.0)) == "network"


def test_a_excerpts_figures_are_those_of_its_own_tokens_and_bytes() -> None:
    tokens = [ExcerptToken(0, b"abc", 3.0, 6.0, 1.5, 2), ExcerptToken(1, b"d", 1.0, 2.0, 2.5, 1)]
    view = excerpt_view(Excerpt(tokens))
    assert view is not None
    assert (view.raw_bytes, view.bits, view.mixture, view.network, view.memory) == (4, 4.0, 1.0, 2.0, 1.0)
    assert [(o.order, o.tokens, o.share, o.memory_better) for o in view.orders] == [
        (1, 1, 0.5, 0.0),
        (2, 1, 0.5, 1.0),
    ]
    without = excerpt_view(Excerpt([msgspec.structs.replace(tokens[0], memory=None, order=None)]))
    assert without is not None and without.memory is None and without.orders == []
    assert excerpt_view(Excerpt([])) is None


def test_numbers_are_written_as_one_reads_them() -> None:
    assert formats.seconds(None) == formats.bits(None) == formats.count(None) == "not run"
    assert [formats.seconds(v) for v in (0.014, 3.14, 25.6, 179.8)] == [
        "0.01 s",
        "3.1 s",
        "26 s",
        "180 s (3 min 00 s)",
    ]
    assert [formats.size(v) for v in (12, 4_352, 742_118, 3_912_377)] == [
        "12 B",
        "4.35 kB",
        "742 kB",
        "3.91 MB",
    ]


def test_an_excerpt_is_kept_where_no_sample_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = types.SimpleNamespace(excerpt=[ExcerptToken(1, b"a", 1.0, 1.0)], documents=[])
    for error, drawn in (
        (None, "text"),
        (ArtifactError("range"), None),
        (EnvironmentProblem("memory"), None),
    ):

        def sample_text(artifact: object, error: Exception | None = error) -> str:
            if error is not None:
                raise error
            return "text"

        monkeypatch.setattr("regrow.predict.sampling.sample_text", sample_text)
        save_excerpt(tmp_path, measured, artifact=object())  # type: ignore[arg-type]
        loaded = load_excerpt(tmp_path)
        assert loaded is not None and loaded.sample == drawn and len(loaded.tokens) == 1

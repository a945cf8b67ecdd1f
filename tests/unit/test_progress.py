"""What a user is told while something long runs, and that it never lands among the results."""

from __future__ import annotations

import io

import pytest

from regrow.core.progress import Bars, Lines, Silent, make_progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_at_most_one_line_every_few_seconds_with_rate_and_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, every=5.0, clock=clock).task("train", total=100, unit="steps") as task:
        for _ in range(20):
            clock.now += 1
            task.advance(2, loss=1.23456)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "train: 10/100 steps, 2 steps/s, 0:45 left, loss 1.235"
    assert lines[-1] == "train: done in 20.0 s, loss 1.235"
    assert len(lines) == 5


def test_a_task_in_seconds_has_no_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, every=5.0, clock=clock).task("train", total=150, unit="s") as task:
        clock.now += 30
        task.advance(30, tokens_per_second=21_000)
    assert stream.getvalue().splitlines()[0] == "train: 30/150 s, 2:00 left, tokens_per_second 21000"


def test_without_a_total_there_is_no_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, every=5.0, clock=clock).task("count", unit="tokens") as task:
        clock.now += 10
        task.advance(1_234_567)
    assert stream.getvalue().splitlines()[0] == "count: 1.23M tokens, 123k tokens/s"


def test_a_failed_task_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="x"), Lines(stream).task("pack"):
        raise ValueError("x")
    assert "done" not in stream.getvalue()


def test_a_terminal_gets_a_bar_that_ends_and_lines_that_stay() -> None:
    stream = Terminal()
    bars = Bars(stream)
    bars.log("before [not markup]")
    with bars.task("train [4x256]", total=2, unit="steps") as outer, bars.task("inner") as inner:
        bars.log("a notice [not markup]")
        inner.advance(1)
        outer.advance(2, loss=0.5)
    with bars.task("again", total=1):
        pass
    text = stream.getvalue()
    for piece in (
        "train [4x256]",
        "100%",
        "loss 0.5",
        "again",
        "before [not markup]",
        "a notice [not markup]",
    ):
        assert piece in text


def test_a_bar_gives_the_terminal_back_when_the_work_fails() -> None:
    """The cursor is hidden while a bar is drawn, and must be shown again."""
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Bars(stream).task("train"):
        raise KeyboardInterrupt
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_the_kind_fits_the_stream() -> None:
    assert isinstance(make_progress(stream=Terminal()), Bars)
    assert isinstance(make_progress(stream=io.StringIO()), Lines)
    assert isinstance(make_progress(quiet=True, stream=Terminal()), Silent)


def test_all_goes_to_standard_error_and_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        progress = make_progress(quiet)
        progress.log("notice")
        with progress.task("train") as task:
            task.advance(1, loss=2.0)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert bool(captured.err) is not quiet

"""What a user is told while something long runs, and that it never lands among the results."""

from __future__ import annotations

import io
import re
import sys
import types
from importlib.machinery import ModuleSpec

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
        task.advance(30, tokens_per_second=7_843.2)
    assert stream.getvalue().splitlines()[0] == "train: 30/150 s, 2:00 left, 7.8k tokens/s"


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


def test_the_kind_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_PARENT_PID", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(make_progress(stream=Terminal()), Bars)
    assert isinstance(make_progress(stream=io.StringIO()), Lines)
    assert isinstance(make_progress(quiet=True, stream=Terminal()), Silent)


@pytest.mark.parametrize(
    ("name", "value"), [("JPY_PARENT_PID", "7"), ("MPLBACKEND", "module://matplotlib_inline.backend_inline")]
)
def test_the_terminal_of_a_notebooks_command_gets_lines(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Jupyter keeps every drawing: three a second for as long as it lasts."""
    monkeypatch.setenv(name, value)
    assert isinstance(make_progress(stream=Terminal()), Lines)


def test_all_goes_to_standard_error_and_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        progress = make_progress(quiet)
        progress.log("notice")
        with progress.task("train") as task:
            task.advance(1, loss=2.0)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert bool(captured.err) is not quiet


@pytest.mark.parametrize(
    ("total", "done"), [(None, 0), (None, 7), (10, 0), (10, 3), (10, 10), (0, 0)], ids=str
)
def test_a_bar_starts_at_nothing_and_ends_full(total: float | None, done: int) -> None:
    """What ended well is done: it may have met a limit before its time, or nobody knew its length."""
    stream = Terminal()
    with Bars(stream).task("work", total=total) as task:
        if done:
            task.advance(done)
    frames = re.findall(r"(\d+)%", stream.getvalue())
    assert frames[-1] == "100" and (total is None or not total or frames[0] == "0")


def test_a_bar_of_work_that_failed_is_not_filled() -> None:
    stream = Terminal()
    with pytest.raises(ValueError, match="x"), Bars(stream).task("work", total=10) as task:
        task.advance(3)
        raise ValueError("x")
    assert "100%" not in stream.getvalue() and " 30%" in stream.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (2.0, "2"), (123.4, "123"), (999.6, "1.0k"), (7843.0, "7.8k"), (14_712.0, "15k"), (123_456.0, "123k"),
     (999_960.0, "1000k"), (1_234_567.0, "1.2M"), (3.2e9, "3.2G")],
)  # fmt: skip
def test_rates_have_the_digits_that_mean_something(value: float, shown: str) -> None:
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, every=1.0, clock=clock).task("t", unit="tokens") as task:
        clock.now += 10
        task.advance(value * 10)
    assert f", {shown} tokens/s" in stream.getvalue().splitlines()[0]


def test_a_bar_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with Bars(stream).task("train", total=160, unit="s") as task:
        task.advance(50, bpb=1.23456, tokens_per_second=7843.0)
    assert re.search(r"train .*100%.*bpb 1.235  7.8k tokens/s", stream.getvalue())


def test_a_notebook_gets_bars_in_its_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for IPython and ipywidgets; rich draws there what a terminal would get."""
    import builtins

    drawn: list[object] = []

    class ZMQInteractiveShell:
        """As Jupyter's kernel has."""

    class Output:
        def __enter__(self) -> Output:
            return self

        def __exit__(self, *error: object) -> None: ...

        def clear_output(self, wait: bool = False) -> None: ...

    def module(name: str, **names: object) -> None:
        made = types.ModuleType(name)
        made.__spec__ = ModuleSpec(name, None)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, name, made)

    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    module("IPython")
    module("IPython.display", display=drawn.append)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert isinstance(make_progress(stream=io.StringIO()), Lines), "without widgets each redrawing would stay"
    module("ipywidgets", Output=Output)
    progress = make_progress(stream=io.StringIO())
    assert isinstance(progress, Bars)
    with progress.task("train", total=2) as task:
        task.advance(1)
    text = "".join(getattr(one, "data", {}).get("text/plain", "") or str(vars(one)) for one in drawn)
    assert "train" in text and "100%" in text

"""A run that is told to stop: between two steps, with an exit code that says by what."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from regrow.core.processes import Terminated, clean_ending
from regrow.training.signals import CAUGHT, ended_by, stop_signals


@pytest.fixture(autouse=True)
def hear_all() -> Iterator[None]:
    """Whatever the tests' own terminal ignores: a command in the background of a script ignores ctrl-C."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in CAUGHT}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_waits_for_the_end_of_the_step_and_a_second_one_does_not() -> None:
    told: list[str] = []
    with stop_signals(lambda: False, told.append) as came:
        assert came() == 0
        signal.raise_signal(signal.SIGINT)
        assert came() == signal.SIGINT and len(told) == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_where_nothing_would_be_lost_a_signal_acts_at_once() -> None:
    with clean_ending(), stop_signals(lambda: True, print):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Terminated) as ended:
            signal.raise_signal(signal.SIGTERM)
    assert ended.value.number == signal.SIGTERM


@pytest.mark.parametrize("number", CAUGHT)
def test_what_is_raised_tells_the_signal_and_the_sentence(number: signal.Signals) -> None:
    error = ended_by(number, "go on with --resume")
    assert str(error) == "go on with --resume"
    assert isinstance(error, KeyboardInterrupt) or getattr(error, "number", 0) == number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_falls_into_a_callback_of_c_code_is_not_lost(number: int) -> None:
    """Python drops what a ctypes callback raises; the command would go on as if nothing had come."""
    callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(number))
    with pytest.raises((KeyboardInterrupt, Terminated)), clean_ending():
        callback()
        time.sleep(10)


def test_what_an_interrupt_leaves_half_made_is_not_told() -> None:
    """An object that was interrupted while it was made may fail in its deletion, as those of LLVM do."""
    code = """
import sys
import regrow.core.config.load as load
from regrow.cli import main
class Half:
    def __del__(self):
        raise AttributeError("half made")
def interrupted(*rest):
    half = Half()
    raise KeyboardInterrupt
load.load_preset = interrupted
sys.exit(main(["config", "show", "demo"]))
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (130, b"regrow: error: interrupted\n")

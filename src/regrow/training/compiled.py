"""Compiling a step's functions where that pays, and doing without where it cannot.

torch takes half a minute to compile them, most of it on one core. `compile_ahead` has another process begin while this
one reads and counts text; what it compiles reaches this one through torch's cache on disk.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch._functorch import config as functorch_config

from regrow.core.config.schema import Config, TrainConfig
from regrow.core.errors import ConfigError
from regrow.core.machine import cores
from regrow.core.processes import ends_with_parent

_CHILD = "import sys; from regrow.training.compile_here import compile_here; compile_here(*sys.argv[1:])"
_ahead: subprocess.Popen[bytes] | None = None

# By itself torch compiles a backward pass when it first runs, where failing would leave half of a step's gradients.
# Versions before 2.9 do not have the setting.
_TOGETHER = {k: True for k in ("force_non_lazy_backward_lowering",) if hasattr(functorch_config, k)}


class Compiled:
    """`function` compiled by torch at its first call; where that fails, `function` itself, which `log` hears of once.

    A compiler may be there and not work (no OpenMP headers, a TMPDIR where nothing may be executed), which shows when
    it is used. The backward pass is compiled with the forward pass. The call that finds out is done again uncompiled,
    so no step is lost. `demanded`: fail instead, with a ConfigError.
    """

    def __init__(self, function: Callable[..., Any], demanded: bool, log: Callable[[str], None]) -> None:
        self._plain, self._function = function, torch.compile(function)
        self._demanded, self._log = demanded, log

    def __call__(self, *arguments: Any) -> Any:
        if self._function is self._plain:
            return self._plain(*arguments)
        wait_for_ahead()
        try:
            return self._compiled(arguments, vec_isa_ok=True)
        except Exception:  # a compiler older than the processor: torch finds out which instructions it knows
            from torch._inductor.cpu_vec_isa import valid_vec_isa_list

            valid_vec_isa_list.cache_clear()
        try:
            return self._compiled(arguments, vec_isa_ok=None)
        except Exception as error:
            reason = _reason(error)
            result = self._plain(*arguments)  # raises what is no fault of the compiler
            if self._demanded:
                raise ConfigError(
                    f"train.compile = on: the compiler does not work ({reason}); mend it, or set it to auto."
                ) from error
            self._function = self._plain
            self._log(
                f"the C++ compiler does not work: training runs uncompiled, about a third slower ({reason})"
            )
            return result

    def _compiled(self, arguments: tuple[Any, ...], vec_isa_ok: bool | None) -> Any:
        """`vec_isa_ok`: take it that the compiler knows all of the processor's instructions, which torch tries for a
        quarter of the time of the first compilation."""
        from torch._inductor import config as inductor_config  # half a second that short runs do without

        with functorch_config.patch(_TOGETHER), inductor_config.patch({"cpp.vec_isa_ok": vec_isa_ok}):
            return self._function(*arguments)


def compile_step(
    functions: list[Callable[..., Any]], config: TrainConfig, device: torch.device, log: Callable[[str], None]
) -> list[Callable[..., Any]]:
    """The functions of a step, compiled where there is a compiler and the run is long enough to earn its seconds back.

    Raises ConfigError if compilation is demanded and there is no compiler.
    """
    if not pays(config):
        return functions
    if device.type == "cpu" and not has_compiler():
        if config.compile == "on":
            raise ConfigError(
                "train.compile = on: there is no C++ compiler on the path; install g++ or set it to auto."
            )
        log("no C++ compiler found: training runs uncompiled, about a third slower")
        return functions
    logged: list[str] = []

    def log_once(line: str) -> None:
        if not logged:
            log(line)
        logged.append(line)

    return [Compiled(function, config.compile == "on", log_once) for function in functions]


def pays(t: TrainConfig) -> bool:
    """Whether a run is long enough to earn the seconds of compiling back, or is told to compile."""
    long = (t.max_seconds == 0 or t.max_seconds >= 60) and (t.max_steps == 0 or t.max_steps >= 200)
    long = long and (t.max_tokens == 0 or t.max_tokens >= 1_000_000)
    return t.compile == "on" or (t.compile == "auto" and long)


def compile_ahead(config: Config, device: str | None = None, world_size: int = 1) -> None:
    """Have another process compile the steps of training by `config` in one process on the CPU, if that pays and none
    is begun."""
    global _ahead
    one_cpu = world_size == 1 and (device == "cpu" or (device is None and not torch.cuda.is_available()))
    if _ahead is not None or not one_cpu or cores() == 1 or not pays(config.train) or not has_compiler():
        return
    arguments = [msgspec.json.encode(config).decode(), str(torch.get_num_threads())]
    with contextlib.suppress(OSError):  # no process can be had: this one compiles by itself
        _ahead = subprocess.Popen(
            ends_with_parent([sys.executable, "-P", "-c", _CHILD, *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def wait_for_ahead() -> None:
    """Until what was begun ahead is done, or has failed: then this process compiles by itself."""
    if _ahead is not None:
        _ahead.wait()


def has_compiler() -> bool:
    """Whether a C++ compiler is on the path; whether it works shows when it is used."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def _reason(error: Exception) -> str:
    """The line in which a compiler says what is wrong, or else the first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "error: " in line), lines[0])[:120].strip().rstrip(":.")

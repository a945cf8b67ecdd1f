"""Compiling where there is a compiler, and doing without where it does not work."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch._dynamo.backends.common import aot_autograd

from regrow.core.config.schema import TrainConfig
from regrow.core.errors import ConfigError
from regrow.training import compiled
from regrow.training.compiled import compile_step

CPU = torch.device("cpu")


def doubled(x: int) -> int:
    return 2 * x


def halved(x: int) -> float:
    return x / 2


def broken(*_: Any) -> Any:
    def fail(*_: Any) -> None:
        raise RuntimeError("fatal error: omp.h: No such file\nand much more")

    return fail


@pytest.fixture
def broken_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(torch, "compile", broken)


@pytest.mark.usefixtures("broken_compiler")
def test_a_compiler_that_does_not_work_is_said_once_and_done_without() -> None:
    logged: list[str] = []
    double, halve = compile_step([doubled, halved], TrainConfig(), CPU, logged.append)
    assert [double(3), halve(3), double(4)] == [6, 1.5, 8]
    assert (
        len(logged) == 1 and "(fatal error: omp.h: No such file)" in logged[0] and "uncompiled" in logged[0]
    )


@pytest.mark.usefixtures("broken_compiler")
def test_where_compiling_is_demanded_a_broken_compiler_is_an_error() -> None:
    (double,) = compile_step([doubled], TrainConfig(compile="on"), CPU, print)
    with pytest.raises(ConfigError, match=r"train\.compile = on: the compiler does not work \(fatal error"):
        double(3)


def test_a_backward_pass_that_cannot_be_compiled_costs_no_step_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    backend = aot_autograd(fw_compiler=lambda module, _: module.forward, bw_compiler=broken())
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    logged: list[str] = []
    (square,) = compile_step([torch.square], TrainConfig(), CPU, logged.append)
    x = torch.full((3,), 2.0, requires_grad=True)
    square(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [4, 4, 4] and len(logged) == 1


def test_what_is_no_fault_of_the_compiler_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: True)
    monkeypatch.setattr(torch, "compile", lambda function: lambda *arguments: function(*arguments))
    logged: list[str] = []
    (halve,) = compile_step([halved], TrainConfig(), CPU, logged.append)
    with pytest.raises(TypeError):
        halve("three")
    assert halve(3) == 1.5 and not logged


def test_without_a_compiler_or_where_it_does_not_pay_functions_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    logged: list[str] = []
    assert compile_step([doubled], TrainConfig(), CPU, logged.append) == [doubled]
    assert "no C++ compiler found" in logged[0]
    with pytest.raises(ConfigError, match="no C\\+\\+ compiler on the path"):
        compile_step([doubled], TrainConfig(compile="on"), CPU, logged.append)
    short = msgspec.structs.replace(TrainConfig(), max_steps=40)
    assert compile_step([doubled], short, CPU, logged.append) == [doubled] and len(logged) == 1


@pytest.mark.parametrize("fault", [pytest.param("no OpenMP", marks=pytest.mark.slow), "blank in TMPDIR"])
def test_a_real_step_outlives_a_real_compiler_that_does_not_work(fault: str, tmp_path: Path) -> None:
    """Forwards and backwards, as a step of training does."""
    script = (
        "import torch\n"
        "from regrow.core.config.schema import TrainConfig\n"
        "from regrow.training.compiled import compile_step\n"
        "from regrow.network.transformer import capped_logits\n"
        "(logits,) = compile_step([capped_logits], TrainConfig(), torch.device('cpu'), print)\n"
        "x, w = torch.ones(2, 8, 16, requires_grad=True), torch.ones(30, 16, requires_grad=True)\n"
        "logits(x, w, 30.0).sum().backward()\n"
        "assert x.grad is not None and w.grad is not None\n"
    )
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    if fault == "blank in TMPDIR":
        (tmp_path / "a blank").mkdir()
        environment |= {"TMPDIR": str(tmp_path / "a blank")}
        del environment["TORCHINDUCTOR_CACHE_DIR"]
    else:
        compiler = tmp_path / "g++"
        compiler.write_text(
            '#!/bin/sh\ncase "$*" in *-fopenmp*) echo "fatal error: omp.h" >&2; exit 1;; esac\n'
            'exec /usr/bin/g++ "$@"\n'
        )
        compiler.chmod(0o755)
        environment |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "training runs uncompiled" in done.stdout


_AHEAD = """
import msgspec, torch
from torch._dynamo.utils import counters
from regrow.core.config.load import load_preset
from regrow.core.config.schema import DataConfig, ModelConfig
from regrow.training import compiled
from regrow.training.compile_here import compile_here
c = msgspec.structs.replace(
    load_preset("demo"), data=DataConfig(vocab_size=300),
    model=ModelConfig(n_layer=1, d_model=64, n_head=2, n_kv_head=1, r=4, window=16, memory_input=2),
)
compiled.cores = lambda: 2
compiled.compile_ahead(c)
assert compiled._ahead is not None
compiled.wait_for_ahead()
assert compiled._ahead.returncode == 0
compile_here(msgspec.json.encode(c).decode(), str(torch.get_num_threads()))
of = counters["inductor"]
assert of["fxgraph_cache_hit"] > 3 and not of["fxgraph_cache_miss"], of
"""


@pytest.mark.slow
@pytest.mark.skipif(not compiled.has_compiler(), reason="there is no C++ compiler")
def test_what_another_process_compiled_is_not_compiled_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AHEAD],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

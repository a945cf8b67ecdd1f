"""Kernels: their types are those they state, and no compiled code outlives what it was compiled from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from regrow.core.jit import I64x1, kernel

# A kernel, and all that it takes from other files: a function, that function's helper, a number, a record.
SOURCES = {
    "sums.py": """
        from regrow.core.jit import I64x1, kernel
        from helpers import scaled
        from numbers_of import STEP
        from records import Pair

        @kernel
        def total(x: I64x1, pair: Pair) -> int:
            return scaled(x[0]) + STEP + 10 * pair.a + pair.b
        """,
    "helpers.py": """
        from numba.extending import register_jitable
        from inner import factor

        @register_jitable
        def scaled(x):
            return x * factor()
        """,
    "inner.py": """
        from numba.extending import register_jitable

        @register_jitable
        def factor():
            return 2000
        """,
    "numbers_of.py": "STEP = 300",
    "records.py": """
        from typing import NamedTuple

        class Pair(NamedTuple):
            a: int
            b: int
        """,
    "use.py": """
        import numpy as np
        import sums
        from records import Pair

        print(sums.total(np.array([1]), Pair(a=1, b=2)))
        """,
}


def write(folder: Path, name: str, text: str) -> None:
    """With the size and time of the file that was there: nothing but the content tells that it changed."""
    path = folder / name
    before = path.stat() if path.exists() else None
    lines = text.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    path.write_text("".join(line[indent:] + "\n" for line in lines))
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def run(folder: Path, **environment: str) -> tuple[int, str]:
    """What a new process makes of the kernel, and what its cache says of itself."""
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-B", "use.py"],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": f"{source}{os.pathsep}{folder}", "NUMBA_DEBUG_CACHE": "1"}
        | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *notes, result = done.stdout.strip().splitlines()
    return int(result), "\n".join(notes)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        write(tmp_path, name, text)
    return tmp_path


def test_a_change_anywhere_in_what_a_kernel_calls_is_seen(package: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(package / "cache")}
    assert run(package, **cache)[0] == 2312
    result, notes = run(package, **cache)
    assert result == 2312 and "data loaded" in notes and "data saved" not in notes
    for name, old, new, wanted in (
        ("inner.py", "2000", "3000", 3312),
        ("numbers_of.py", "300", "500", 3512),
        ("records.py", "a: int\n            b: int", "b: int\n            a: int", 3512),
    ):
        assert old in SOURCES[name]
        write(package, name, SOURCES[name].replace(old, new))
        result, notes = run(package, **cache)
        assert result == wanted and "data saved" in notes, name


def test_code_beside_the_source_is_read_where_it_cannot_be_written(package: Path) -> None:
    """A container's image, or a process whose writing is limited: numba looks in a folder of the user alone."""
    run(package, NUMBA_CACHE_DIR="")
    result, notes = run(package, NUMBA_CACHE_DIR=str(package / "elsewhere"))
    assert result == 2312 and "data loaded" in notes and "data saved" not in notes
    write(package, "numbers_of.py", "STEP = 500")
    result, notes = run(package, NUMBA_CACHE_DIR=str(package / "elsewhere"))
    assert result == 2512 and "data saved" in notes


def test_code_of_other_sources_is_not_believed_under_a_new_index(package: Path) -> None:
    """What a process leaves that was killed between writing the one and the other."""
    cache = {"NUMBA_CACHE_DIR": str(package / "cache")}
    run(package, **cache)
    (code,) = (package / "cache").rglob("*.nbc")
    old = code.read_bytes()
    write(package, "numbers_of.py", "STEP = 500")
    assert run(package, **cache)[0] == 2512
    code.write_bytes(old)
    assert run(package, **cache)[0] == 2512


def test_a_cache_that_is_damaged_or_cannot_be_written_is_no_error(package: Path) -> None:
    cache = package / "cache"
    wanted = run(package, NUMBA_CACHE_DIR=str(cache))[0]
    for pattern in ("*.nbc", "*.nbi"):
        (found,) = cache.rglob(pattern)
        found.write_bytes(found.read_bytes()[:40])
        assert run(package, NUMBA_CACHE_DIR=str(cache))[0] == wanted
        assert "data loaded" in run(package, NUMBA_CACHE_DIR=str(cache))[1], "it heals"
    # Neither the folder asked for, nor the one beside the source, nor the home can be made.
    shutil.rmtree(package / "__pycache__", ignore_errors=True)  # Python's own, where it writes bytecode
    (package / "__pycache__").write_text("a file")
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null/cache", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/home"}
    assert run(package, **nowhere)[0] == wanted


AHEAD = """
        import numpy as np
        import sums
        from records import Pair
        from regrow.core import compilation

        compilation.cores = lambda: 2
        compilation.compile_ahead(sums.total, nice=1)
        print("elsewhere", sums.total.elsewhere is not None)
        print(sums.total(np.array([1]), Pair(a=1, b=2)))
        """


def test_another_process_compiles_what_is_not_in_the_cache(package: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(package / "cache")}
    write(package, "use.py", AHEAD)
    result, notes = run(package, **cache)
    assert result == 2312 and "elsewhere True" in notes
    assert "data loaded" in notes and "data saved" not in notes, "this process only read it"
    assert "elsewhere False" in run(package, **cache)[1]


def test_what_is_needed_now_does_not_wait_for_a_process_that_gives_way(package: Path) -> None:
    again = """compilation.compile_ahead(sums.total, nice=19)
        first = sums.total.elsewhere
        compilation.compile_ahead(sums.total)
        print("begun anew", sums.total.elsewhere is not first, first._process.returncode)
        compilation.compile_ahead(sums.total, nice=5)
        print("and stays", sums.total.elsewhere.nice)"""
    write(package, "use.py", AHEAD.replace("compilation.compile_ahead(sums.total, nice=1)", again))
    result, notes = run(package, NUMBA_CACHE_DIR=str(package / "cache"))
    assert result == 2312 and "begun anew True -9" in notes and "and stays 0" in notes
    assert "data saved" not in notes, "this process only read it"


def test_where_no_process_can_be_started_this_one_compiles(package: Path) -> None:
    """As under an emulator that this machine does not know how to start."""
    write(
        package,
        "use.py",
        AHEAD.replace("import sums", "import sys\n        import sums\n        sys.executable = '/no'"),
    )
    result, notes = run(package, NUMBA_CACHE_DIR=str(package / "cache"))
    assert result == 2312 and "elsewhere False" in notes and "data saved" in notes


def test_a_process_that_compiles_and_dies_is_no_error(package: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(package / "cache")}
    write(
        package,
        "use.py",
        AHEAD.replace("import sums", "import sums\n        sums.total._function.__name__ = 'gone'"),
    )
    result, notes = run(package, **cache)
    assert result == 2312 and "elsewhere True" in notes and "data saved" in notes
    shutil.rmtree(package / "__pycache__", ignore_errors=True)  # Python's own, where it writes bytecode
    (package / "__pycache__").write_text("a file")
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null/cache", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/home"}
    result, notes = run(package, **nowhere)
    assert result == 2312 and "elsewhere False" in notes, "what it compiles could not reach this process"


@kernel
def _first(x: I64x1) -> int:
    return x[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "wrong", [np.zeros(2), np.zeros(4, np.int32), np.zeros((2, 2), int), np.zeros(8, int)[::2]]
)
def test_other_types_than_those_stated_are_refused(wrong: np.ndarray) -> None:
    assert _first(np.array([7])) == 7
    with pytest.raises(TypeError):
        _first(wrong)


def test_the_help_needs_no_compiler() -> None:
    code = "import sys; from regrow.cli import main; assert 'numba' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# What a decoder computes of the memory: nothing of it may need torch.
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import importlib, pkgutil
import numpy as np
import regrow.ngram
for module in pkgutil.walk_packages(regrow.ngram.__path__, "regrow.ngram."):
    if module.name not in ("regrow.ngram.counts.device", "regrow.ngram.counts.merge_processes"):
        importlib.import_module(module.name)
import regrow.predict.adaptive.online_mixer
import regrow.artifact.int_coder
import regrow.artifact.range_coder
counts = regrow.ngram.counts.ngram_counts.NgramCounts(40, 4)
counts.add(np.arange(1, 400) % 39 + 1)
for model in (
    regrow.ngram.model.ngram_model.NgramModel.from_counts(counts),
    regrow.ngram.memory.HashedModel(regrow.ngram.memory.HashedCounts(40, 4, (50, 50, 50))),
):
    print(float(model.rows(np.array([[5, 6, 7]])).probs_RV.sum()))
"""


def test_the_memory_works_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(1\.0\d*|0\.9999\d*)\n(1\.0\d*|0\.9999\d*)\n", done.stdout)

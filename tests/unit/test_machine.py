"""What a process may use: cores by quota, affinity and OpenMP's limits; memory by machine, group and limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from regrow.core import dist, machine
from regrow.core.machine import available_memory, cpu_quota, is_out_of_memory, usable_cores


def put(root: Path, **files: str) -> Path:
    """A made-up /proc and /sys under `root`: slashes of the paths are written as double underscores."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_quota_of_a_control_group_of_version_2_or_of_one_above_it(tmp_path: Path) -> None:
    root = put(tmp_path, proc__self__cgroup="0::/a/b\n", sys__fs__cgroup__a__b__cpuDOTmax="max 100000\n")
    assert cpu_quota(root) is None
    put(tmp_path, sys__fs__cgroup__a__cpuDOTmax="150000 100000\n")
    assert cpu_quota(root) == 1.5
    put(tmp_path, sys__fs__cgroup__cpuDOTmax="100000 100000\n")
    assert cpu_quota(root) == 1.0


def test_the_quota_of_a_control_group_of_version_1(tmp_path: Path) -> None:
    """Its path in a container is often the host's, and the mount is the group itself."""
    root = put(
        tmp_path,
        proc__self__cgroup="4:memory:/x\n3:cpu,cpuacct:/docker/1f\n",
        sys__fs__cgroup__cpu__cpuDOTcfs_quota_us="50000\n",
        sys__fs__cgroup__cpu__cpuDOTcfs_period_us="100000\n",
    )
    assert cpu_quota(root) == 0.5
    assert usable_cores(root)[0] == 1
    put(tmp_path, sys__fs__cgroup__cpu__cpuDOTcfs_quota_us="-1\n")
    assert cpu_quota(root) is None


def test_files_that_are_not_there_or_make_no_sense_limit_nothing(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None and available_memory(tmp_path) > 1 << 50
    root = put(tmp_path, proc__self__cgroup="0::/a\nnonsense", sys__fs__cgroup__a__cpuDOTmax="much\n")
    assert cpu_quota(root) is None and usable_cores(root)[0] == len(os.sched_getaffinity(0))


def test_memory_is_the_least_of_what_machine_and_group_leave(tmp_path: Path) -> None:
    root = put(
        tmp_path, proc__meminfo="MemTotal: 9 kB\nMemAvailable: 4000 kB\n", proc__self__cgroup="0::/a\n"
    )
    assert available_memory(root) == 4_096_000
    put(
        tmp_path,
        sys__fs__cgroup__a__memoryDOTmax="3000000\n",
        sys__fs__cgroup__a__memoryDOTcurrent="1000000\n",
    )
    assert available_memory(root) == 2_000_000


def test_errors_about_memory_are_known_as_such() -> None:
    torch_says = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
    for error in (MemoryError(), RuntimeError(torch_says), torch.OutOfMemoryError("CUDA out of memory")):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes do not fit")) and not is_out_of_memory(
        KeyError("bad_alloc")
    )


@pytest.mark.parametrize(
    ("variables", "cores", "neighbours", "expected"),
    [
        ({}, (1, "CPU quota of 1 cores"), 1, "threads: 1 (CPU quota of 1 cores)"),
        ({"OMP_NUM_THREADS": "2"}, (1, "CPU quota of 1 cores"), 1, "threads: 2 (OMP_NUM_THREADS)"),
        ({"OMP_THREAD_LIMIT": "1"}, (2, "all cores"), 1, "threads: 1 (OMP_THREAD_LIMIT)"),
        (
            {"OMP_NUM_THREADS": "2", "OMP_THREAD_LIMIT": "1"},
            (2, "all cores"),
            1,
            "threads: 1 (OMP_THREAD_LIMIT)",
        ),
        ({"OMP_DYNAMIC": "TRUE"}, (2, "all cores"), 1, "threads: 1 (OMP_DYNAMIC)"),
        ({"OMP_NUM_THREADS": "1"}, (4, "all cores"), 2, "threads: 2 (all cores, for 2 processes)"),
        ({}, (2, "all cores"), 1, "threads: 2 (all cores)"),
    ],
)
def test_threads_follow_quota_affinity_and_openmps_limits(
    variables: dict[str, str],
    cores: tuple[int, str],
    neighbours: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "usable_cores", lambda: cores)
    before, logged = torch.get_num_threads(), list[str]()
    try:
        torch.set_num_threads(2)
        dist.set_threads(neighbours, logged.append)
        assert logged == [expected] and str(torch.get_num_threads()) in expected
    finally:
        torch.set_num_threads(before)


def test_three_modules_read_the_environment() -> None:
    root = Path(machine.__file__).parents[1]
    readers = [p.relative_to(root).as_posix() for p in root.rglob("*.py") if "os.environ" in p.read_text()]
    assert sorted(r for r in readers if not r.startswith("challenge/")) == [
        "cli/app.py",  # what a shell asks to complete, before anything heavy is imported
        "core/dist.py",
        "core/progress.py",  # whether a notebook shows what is written
    ]

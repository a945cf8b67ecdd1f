"""What this process may use of its machine: cores, and bytes of memory. Affinity, limits and control groups (version 1
and 2) are asked; a container with a quota of one core on a machine of two is stopped for half of every period when it
runs two threads that wait for each other, and one thread is twice as fast.

`root` is where `proc` and `sys` are.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from regrow.core.errors import EnvironmentProblem

try:
    import resource
except ImportError:  # Windows, which limits no address space
    resource = None  # type: ignore[assignment]

_ROOT = Path("/")
_NO_MEMORY = (
    "can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "not enough memory",
    "failed to map segment", "can't start new thread",
)  # fmt: skip
_NO_LIMIT = 1 << 60  # version 1 says this much or more for none


def usable_cores(root: Path = _ROOT) -> tuple[int, str]:
    """Cores that may be kept busy, at least 1, and what limits them in words."""
    # macOS and Windows do not say which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    if quota is not None and quota < cores:
        return max(1, int(quota)), f"CPU quota of {quota:g} cores"
    everything = os.cpu_count() or cores
    return cores, "all cores" if cores == everything else f"affinity to {cores} of {everything} cores"


@functools.cache
def cores() -> int:
    """How many threads or processes can be kept busy: `usable_cores`, asked once."""
    return usable_cores()[0]


def cpu_quota(root: Path = _ROOT) -> float | None:
    """The least quota, in cores, of this process's control group and those that hold it; None without one."""
    quotas = [_quota(folder, version) for folder, version in _groups(root, "cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def available_memory(root: Path = _ROOT) -> int:
    """Bytes that this process may still take: what the machine has free, its control group leaves and limits allow."""
    bounds = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        bounds.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    for folder, version in _groups(root, "memory"):
        names = (
            ("memory.max", "memory.current")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        )
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            limit, used = (int((folder / name).read_text()) for name in names)
            if limit < _NO_LIMIT:
                bounds.append(limit - used)
    address_space = _address_space()
    if address_space is not None:
        with contextlib.suppress(OSError, ValueError):
            pages = int((root / "proc/self/statm").read_text().split()[0])
            bounds.append(address_space - pages * resource.getpagesize())
    return max(0, min(bounds, default=_NO_LIMIT))


def _address_space() -> int | None:
    """The limit in bytes (ulimit -v), if there is one."""
    limit: int | None = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else None
    return None if resource is None or limit == resource.RLIM_INFINITY else limit


def check_address_space(package: str, need: int) -> None:
    """Raise EnvironmentProblem if a limit (ulimit -v) leaves less than the `need` bytes that loading `package` takes:
    a library that is loaded in part ends the process in ways that nobody can catch."""
    if _address_space() is None:
        return
    free = available_memory()
    if free < need:
        raise EnvironmentProblem(
            f"there is not enough memory, {package} needs about {need / 1e6:,.0f} MB of address space and "
            f"{free / 1e6:,.0f} MB are free; raise the limit (ulimit -v)."
        )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error of Python, numpy or torch, or one that led to it, says that there was no memory left."""
    while error is not None:
        if _says_no_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _says_no_memory(error: BaseException) -> bool:
    if isinstance(error, SystemError):  # libraries that do not look at what malloc returned
        return _address_space() is not None
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | OSError | ImportError)
        and any(words in str(error).lower() for words in _NO_MEMORY)
    )


def _groups(root: Path, controller: str) -> list[tuple[Path, int]]:
    """Folders of the controller's groups, this process's own first, and their version."""
    found: list[tuple[Path, int]] = []
    base = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            controllers, _, path = line.partition(":")[2].partition(":")
            if not controllers:
                mounts, version = [base, base / "unified"], 2
            elif controller in controllers.split(","):
                mounts, version = [base / controllers, base / controller], 1
            else:
                continue
            # In a container the path may be the host's, and the mount the group itself.
            parts = Path(path.lstrip("/")).parts
            for mount in mounts:
                found += [(mount.joinpath(*parts[:n]), version) for n in range(len(parts), -1, -1)]
    return found


def _quota(folder: Path, version: int) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        if version == 2:
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if quota != "max" and int(quota) > 0 and int(period) > 0:
            return int(quota) / int(period)
    return None

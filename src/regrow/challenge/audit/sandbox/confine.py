"""Taking rights away from the process one is in, before somebody else's code is run in it.

What is taken, each on its own, and said plainly where the system does not permit it:

* CPU seconds, address space, size of a written file, open files, core dumps (`setrlimit`);
* the network, by a user and network namespace of its own (`unshare(2)`) and by Landlock where it covers TCP;
* writing outside one scratch folder and reading outside a list of folders (Landlock, Linux 5.13 and later);
* signals and abstract sockets towards other processes (Landlock, Linux 6.12 and later);
* starting programs, opening sockets and, where there is no Landlock, opening files for writing elsewhere: a Python
  audit hook. It stops Python code that asks in the ordinary way; code that calls the C library through `ctypes` walks
  past it.

What this does not contain: a fault in the kernel; timing and memory side channels; use of the processor and of memory
up to the limits; reading the folders on the list (the submission, the shim, Python, system folders such as /etc and
/proc); code that fools its observer by behaving well while it is watched. It is meant for reviewing careless code, not
for running malware: for that use a virtual machine that holds nothing of value.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
#: Access rights that each version of Landlock knows: 13 at first, then refer, truncate, (TCP), ioctl.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 3
_SCOPES = 3

#: Folders every Python program reads; nobody's own files.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/proc", "/sys", "/dev")

_DENIED = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
    "os.kill", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "pty.spawn",
)  # fmt: skip
_WRITES = ("remove", "rename", "rmdir", "mkdir", "chmod", "chown", "link", "symlink", "truncate")


def confine(
    scratch: str, readable: Iterable[str], *, cpu_seconds: int, memory_bytes: int, file_bytes: int
) -> dict[str, str]:
    """Take the rights away from this process. There is no way back.

    Call it in a process with one thread (a user namespace needs that): before numpy or torch are imported.

    Args:
        scratch: the only folder where files may be written.
        readable: folders that may be read, besides Python's own and the system's.
        cpu_seconds: processor seconds after which the kernel ends the process.
        memory_bytes: bytes of address space.
        file_bytes: bytes of one written file.

    Returns:
        For `limits`, `network`, `files` and `processes`, one phrase that says what holds.
    """
    said = {"limits": _limits(cpu_seconds, memory_bytes, file_bytes), "network": _own_network()}
    landlocked, version = _landlock(scratch, [*readable, *_python_folders()])
    said["files"] = landlocked
    said["processes"] = "programs are refused by an audit hook, which ctypes walks past"
    if version >= 6:
        said["processes"] += "; signals to others are refused by Landlock"
    # It must not outlive the audit; said last, for a change of credentials forgets it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _install_hook(scratch, guard_writes=version == 0)
    return said


def _limits(cpu_seconds: int, memory_bytes: int, file_bytes: int) -> str:
    wanted = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: 512,
        resource.RLIMIT_CORE: 0,
    }
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (least, least))
    return (
        f"{cpu_seconds} s of CPU, {memory_bytes // 2**20} MiB of memory, files of {file_bytes // 2**20} MiB"
    )


def _own_network() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET):
        if libc.unshare(flags) == 0:
            return "none: a network namespace of its own"
    reason = os.strerror(ctypes.get_errno())
    return f"NOT ISOLATED by a namespace ({reason}); an audit hook refuses sockets, and ctypes walks past it"


def _python_folders() -> list[str]:
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, *(p for p in sys.path if p)}
    return [place for place in places if Path(place).exists() and place != "/"]


def _landlock(scratch: str, readable: Iterable[str]) -> tuple[str, int]:
    """Restrict files with Landlock; a phrase for the report, and the version in force (0: none)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def call(number: int, *args: Any) -> int:
        return int(libc.syscall(ctypes.c_long(number), *args))

    def refused(why: str) -> tuple[str, int]:
        hook = "writes are refused by an audit hook, which ctypes walks past"
        return f"NOT ISOLATED by the kernel ({why}); {hook}", 0

    version = call(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return refused("no Landlock")
    rights = _RIGHTS[min(version, 5)]
    attributes = struct.pack("=Q", rights)
    attributes += struct.pack("=Q", _TCP) if version >= 4 else b""
    attributes += struct.pack("=Q", _SCOPES) if version >= 6 else b""
    size = ctypes.c_size_t(len(attributes))
    ruleset = call(_LANDLOCK_CREATE_RULESET, attributes, size, ctypes.c_uint(0))
    if ruleset < 0:
        return refused(os.strerror(ctypes.get_errno()))
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    allowed = [(scratch, rights), ("/dev/null", reading | _WRITE_FILE)]
    allowed += [(place, reading) for place in (*_SYSTEM, *readable) if Path(place).exists()]
    for place, access in allowed:
        _allow(libc, ruleset, place, access & rights)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    held = call(_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0
    os.close(ruleset)
    if not held:
        return refused(os.strerror(ctypes.get_errno()))
    return "written in the scratch folder alone, read in the submission, Python and system folders", version


def _allow(libc: ctypes.CDLL, ruleset: int, place: str, access: int) -> None:
    """One rule: `access` beneath `place`. A place that cannot be opened stays forbidden."""
    try:
        handle = os.open(place, getattr(os, "O_PATH", 0x200000) | os.O_CLOEXEC)
    except OSError:
        return
    if not Path(place).is_dir():
        access &= _EXECUTE | _WRITE_FILE | _READ_FILE
    rule = struct.pack("=Qi", access, handle)
    libc.syscall(
        ctypes.c_long(_LANDLOCK_ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)
    )
    os.close(handle)


def _install_hook(scratch: str, guard_writes: bool) -> None:
    inside = scratch.rstrip("/") + "/"

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _DENIED:
            raise PermissionError(f"{event} is refused while a submission is being probed")
        if not guard_writes:
            return
        if event == "open" and isinstance(args[0], str):
            mode, flags = args[1] or "", args[2] or 0
            writes = any(c in mode for c in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            target = os.path.realpath(args[0])
            if writes and not target.startswith(inside) and target != "/dev/null":
                raise PermissionError(f"writing {args[0]} is refused while a submission is being probed")
        elif event.removeprefix("os.") in _WRITES and isinstance(args[0], str):
            if os.path.realpath(args[0]).startswith(inside):
                return
            raise PermissionError(f"{event} outside the scratch folder is refused during a probe")

    sys.addaudithook(hook)

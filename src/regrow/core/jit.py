"""Kernels: loops that numba compiles, with types read from their annotations, kept on disk between processes.

    class Run(NamedTuple):  # a record: arrays that travel together, passed as one argument
        words_N: U64x1
        counts_N: U32x1

    @kernel
    def total(run: Run, first: int) -> int: ...

Read a record's fields at the top of a kernel and hand helpers the arrays: in a loop each reading counts references.

A kernel is compiled at its first use, for exactly the types it states: another dtype, dimension or memory order is a
TypeError. It runs without the interpreter's lock. What it calls are plain functions under numba's `register_jitable`.

numba's own cache trusts a compiled kernel as long as the kernel's file is unchanged. Ours asks for more (see
`source_digest`): the files of all functions it calls, the numbers and records it takes from elsewhere, and this file. A
cache that cannot be read or written costs time, and is never an error.

No kernel is compiled with fast math, so LLVM neither reorders sums nor contracts a * b + c to one rounding: float
arithmetic is IEEE 754, operation by operation in the order written, on every machine.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, ParamSpec, TypeVar, get_origin, get_type_hints

import numba
import numpy as np
from numba import types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys
from numba.np.numpy_support import as_dtype
from numpy.typing import NDArray

if TYPE_CHECKING:
    from regrow.core.compilation import Compilation

P = ParamSpec("P")
R = TypeVar("R")

# Arrays by element and number of dimensions, C-contiguous.
U8x1 = Annotated[NDArray[np.uint8], types.uint8[::1]]
U16x1 = Annotated[NDArray[np.uint16], types.uint16[::1]]
U16x3 = Annotated[NDArray[np.uint16], types.uint16[:, :, ::1]]
U32x1 = Annotated[NDArray[np.uint32], types.uint32[::1]]
U32x2 = Annotated[NDArray[np.uint32], types.uint32[:, ::1]]
U64x1 = Annotated[NDArray[np.uint64], types.uint64[::1]]
U64x2 = Annotated[NDArray[np.uint64], types.uint64[:, ::1]]
I16x1 = Annotated[NDArray[np.int16], types.int16[::1]]
I32x1 = Annotated[NDArray[np.int32], types.int32[::1]]
I32x2 = Annotated[NDArray[np.int32], types.int32[:, ::1]]
I64x1 = Annotated[NDArray[np.int64], types.int64[::1]]
I64x2 = Annotated[NDArray[np.int64], types.int64[:, ::1]]
F32x1 = Annotated[NDArray[np.float32], types.float32[::1]]
F32x2 = Annotated[NDArray[np.float32], types.float32[:, ::1]]
F32x3 = Annotated[NDArray[np.float32], types.float32[:, :, ::1]]
F64x1 = Annotated[NDArray[np.float64], types.float64[::1]]
F64x2 = Annotated[NDArray[np.float64], types.float64[:, ::1]]
F64x3 = Annotated[NDArray[np.float64], types.float64[:, :, ::1]]
Boolx1 = Annotated[NDArray[np.bool_], types.boolean[::1]]
Strided = Annotated[NDArray[np.uint64], types.uint64[:, :]]  # rows may be slices of longer ones

_SCALARS = {int: types.int64, float: types.float64, bool: types.boolean, type(None): types.void}

# Of these versions it is known what a kernel from the cache needs to run: numba's runtime alone. numba itself first
# makes ready to compile, for half a second.
_LEAN = "0.68."


class Kernel(Generic[P, R]):
    """A function that is compiled when it is first called, or read from numba's cache."""

    def __init__(self, function: Callable[P, R], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self._function, self._options = function, options
        self._entry: Callable[..., R] | None = None
        self._lock = threading.Lock()
        self.elsewhere: Compilation | None = None  # another process that compiles it

    def __call__(self, *args: P.args, **_: P.kwargs) -> R:
        entry = self._entry or self.compiled()
        return entry(*args)

    def compiled(self) -> Callable[..., R]:
        """The machine code, made now if nobody has made it."""
        with self._lock:
            if self._entry is None:
                if self.elsewhere is not None:
                    self.elsewhere.wait(self.name)
                self._entry = _compile(self._function, self._options)
            return self._entry

    @property
    def name(self) -> str:
        """Module and name, by which another process finds it."""
        return f"{self._function.__module__}:{self._function.__name__}"

    def missing(self) -> bool:
        """Whether it is neither compiled nor in a cache, though there is a cache that can be written."""
        if self._entry is not None:
            return False
        try:
            return _Cache(self._function).empty()
        except (RuntimeError, OSError):
            return False


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """The function, compiled when it is first called. Every parameter is annotated; arguments are positional."""
    return Kernel(function, {})


def lean_kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """As `kernel`, of a function that makes no arrays: no references are counted, wherever a record is read."""
    return Kernel(function, {"_nrt": False})


def signature_of(function: Callable[..., Any]) -> Any:
    """numba's signature of an annotated function."""
    hints = _hints(function)
    result = _numba_type(hints.pop("return"))
    return result(*map(_numba_type, hints.values()))


def source_digest(function: Callable[..., Any]) -> str:
    """SHA-256 of all that a kernel is compiled from, numba apart.

    The files of the function, of every function it calls, and of every record it takes, wherever they are; the value of
    every global number they use; and this file, which says how kernels are compiled.
    """
    files, values = {Path(__file__)}, set()
    pending: list[Any] = [function, *_hints(function).values()]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        value = getattr(value, "py_func", value)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            files.add(Path(value.__code__.co_filename))
            for name in _names(value.__code__):
                used = value.__globals__.get(name)
                pending.append(used)
                if isinstance(used, int | float | str | tuple | np.generic):
                    values.add(f"{name} = {used!r}")
        elif _is_record(value):
            files.add(Path(str(sys.modules[value.__module__].__file__)))
            pending += get_type_hints(value, include_extras=True).values()
    parts = sorted(_file_digest(path) for path in files) + sorted(values)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _compile(function: Callable[..., R], options: dict[str, Any]) -> Callable[..., R]:
    dispatcher: Any = numba.njit(nogil=True, **options)(function)
    # No folder for a cache (a read-only installation without a home), no source: compile for this process alone.
    with contextlib.suppress(RuntimeError, OSError):
        dispatcher._cache = _Cache(function)
    signature = signature_of(function)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    entry = dispatcher.overloads[tuple(signature.args)].entry_point
    fits = [_fits(hint) for name, hint in _hints(function).items() if name != "return"]

    def call(*args: Any) -> R:
        if len(args) == len(fits) and all(fit(arg) for fit, arg in zip(fits, args, strict=True)):
            return entry(*args)  # type: ignore[no-any-return]
        return dispatcher(*args)  # type: ignore[no-any-return]

    return call


def _fits(hint: Any) -> Callable[[Any], bool]:
    """Whether an argument is just what a parameter states. numba asks, too, and takes a microsecond for each array of
    a record; what does not fit is left to numba, which converts a number and refuses an array."""
    if get_origin(hint) is Annotated:
        kind = hint.__metadata__[0]
        dtype, ndim, contiguous = as_dtype(kind.dtype), kind.ndim, kind.layout == "C"

        def fits_array(x: Any) -> bool:
            return (
                type(x) is np.ndarray
                and x.dtype is dtype
                and x.ndim == ndim
                and (x.flags.carray if contiguous else x.flags.behaved)
            )

        return fits_array
    if _is_record(hint):
        fields = [_fits(field) for field in get_type_hints(hint, include_extras=True).values()]

        def fits_record(x: Any) -> bool:
            if type(x) is not hint:
                return False
            for fit, part in zip(fields, x, strict=True):  # noqa: SIM110 - `all` of a generator takes twice as long
                if not fit(part):
                    return False
            return True

        return fits_record
    return lambda x: type(x) is hint


class _Cache(FunctionCache):
    """numba's cache of one kernel, valid for what it is compiled from; damaged or out of reach, it is empty."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        name, digest = self._impl.filename_base, source_digest(function)
        self._own = self._cache_file = _Files(self._cache_path, name, digest)
        # numba passes by a folder that cannot be written; what an installation was shipped with can still be read.
        beside = str(Path(function.__code__.co_filename).parent / "__pycache__")
        self._shipped = _Files(beside, name, digest) if beside != self._cache_path else None

    def empty(self) -> bool:
        """Whether nothing is kept that was compiled from these sources."""
        return self._own.empty() and (self._shipped is None or self._shipped.empty())

    def load_overload(self, *args: Any) -> Any:
        try:
            if not numba.__version__.startswith(_LEAN):
                return super().load_overload(*args)
            rtsys.initialize(args[1])
            found = None
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(*args)
        except Exception:  # whatever a damaged file makes of pickle
            with contextlib.suppress(Exception):
                self.flush()
            found = None
        return found or self._load_shipped(*args)

    def _load_shipped(self, *args: Any) -> Any:
        try:
            self._cache_file = self._shipped or self._own
            return self._load_overload(*args) if self._shipped else None
        except Exception:
            return None
        finally:
            self._cache_file = self._own

    def save_overload(self, *args: Any) -> None:
        with contextlib.suppress(Exception):  # a full or lost disk
            super().save_overload(*args)


class _Files(IndexDataCacheFile):
    """An index and the code it names, written one after the other: the code, too, says what it was compiled from."""

    def empty(self) -> bool:
        """Whether nothing is kept that was compiled from these sources."""
        try:
            return not self._load_index()
        except Exception:  # whatever a damaged file makes of pickle
            return True

    def _save_data(self, name: str, data: Any) -> None:
        super()._save_data(name, (self._source_stamp, data))

    def _load_data(self, name: str) -> Any:
        stamp, data = super()._load_data(name)
        if stamp != self._source_stamp:
            raise OSError("compiled from other sources")  # to numba: there is no such code
        return data


def _numba_type(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return hint.__metadata__[0]
    if _is_record(hint):
        fields = get_type_hints(hint, include_extras=True)
        return types.BaseTuple.from_types([_numba_type(field) for field in fields.values()], hint)
    return _SCALARS[hint]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


def _is_record(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")


def _names(code: CodeType) -> Iterator[str]:
    """The global names that a function and the functions inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@functools.cache
def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

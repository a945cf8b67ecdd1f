"""Stand-ins for what a GPU machine has: missing packages, attention kernels, `torch.cuda`, `torch.compile`.

Missing packages import as hollow modules, attention kernels become torch's own attention, and devices named
cuda mean the CPU. What a script computes in a kernel of its own (Triton, CUDA) cannot run here, and raises
`GpuOnly`.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any


class GpuOnly(RuntimeError):
    """The script reached a kernel that exists on a GPU only."""


class Hollow:
    """Stands for anything of a package that is not here: callable, a decorator, an attribute of itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Hollow(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and inspect.isfunction(args[0]):
            return Hollow(f"{self._name}({args[0].__name__})") if "jit" in self._name else args[0]
        if "(" in self._name and args:
            raise GpuOnly(f"{self._name} runs on a GPU only")
        return Hollow(f"{self._name}()")

    def __getitem__(self, key: Any) -> Any:
        if "jit" in self._name:
            raise GpuOnly(f"{self._name} runs on a GPU only")
        return self

    def __iter__(self) -> Any:
        return iter(())

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)


class HollowModule(ModuleType):
    """A package that is not installed; every name in it is hollow, attention functions excepted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if "flash_attn" in self.__name__ or "flash_attn" in name:
            return varlen_attention if "varlen" in name else dense_attention
        return Hollow(f"{self.__name__}.{name}")


class HollowFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nobody else found, for the script and its helpers alone, and remembers it."""

    def __init__(self, *folders: str) -> None:
        self.hollow: list[str] = []
        self._folders = folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A hollow module for a missing package; an installed library that asks is told the truth."""
        top = fullname.partition(".")[0]
        if top not in self.hollow:
            frame = inspect.currentframe()
            while frame is not None and (
                frame.f_code is self.find_spec.__code__ or "importlib" in _file(frame)
            ):
                frame = frame.f_back
            asked_by = _file(frame) if frame else ""
            if not asked_by.startswith(("<", *self._folders)):
                return None
            self.hollow.append(top)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The hollow module."""
        return HollowModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


def dense_attention(q: Any, k: Any, v: Any, *args: Any, causal: bool = False, **kwargs: Any) -> Any:
    """What flash_attn_func computes: q_BTHD, k_BTHD, v_BTHD, grouped heads allowed, to out_BTHD."""
    from torch.nn import functional

    grouped = q.shape[2] != k.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=grouped)
    return out.transpose(1, 2)


def varlen_attention(q: Any, k: Any, v: Any, *args: Any, causal: bool = False, **kwargs: Any) -> Any:
    """What flash_attn_varlen_func computes, packed sequences taken as one: right shapes, not masks."""
    return dense_attention(q[None], k[None], v[None], causal=causal)[0]


_FACTORIES = (
    "arange", "zeros", "ones", "empty", "full", "tensor", "randn", "rand", "randint", "linspace", "eye",
    "as_tensor", "randperm", "tril", "triu",
)  # fmt: skip
_CUDA_DOES_NOTHING = (
    "set_device", "synchronize", "manual_seed", "manual_seed_all", "empty_cache", "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
)  # fmt: skip


def _cpu(value: Any) -> Any:
    """A device called cuda means the CPU."""
    import torch

    named = isinstance(value, str | torch.device) and str(value).startswith("cuda")
    return torch.device("cpu") if named else value


def _mapped(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if "device" in kwargs:
            kwargs["device"] = _cpu(kwargs["device"])
        kwargs.pop("pin_memory", None)
        return function(*[_cpu(a) for a in args], **kwargs)

    return call


def _answering(value: Any) -> Any:
    return lambda *args, **kwargs: value


def stub_torch() -> None:
    """Make torch on a CPU answer like torch on a GPU, as far as a model's construction and one step need."""
    import torch as real

    torch: Any = real
    for name in _FACTORIES:
        setattr(torch, name, _mapped(getattr(torch, name)))
    for owner in (torch.Tensor, torch.nn.Module):
        owner.to = _mapped(owner.to)
        owner.cuda = lambda self, *args, **kwargs: self
    torch.Tensor.pin_memory = lambda self, *args, **kwargs: self

    def compiled(model: Any = None, *args: Any, **kwargs: Any) -> Any:
        return model if model is not None else (lambda inner: inner)

    torch.compile = compiled
    torch.autocast = _Autocast
    answers: dict[str, Any] = dict.fromkeys(_CUDA_DOES_NOTHING)
    answers |= {"is_available": True, "device_count": 1, "current_device": 0, "get_device_name": "stub"}
    answers |= {"is_bf16_supported": True, "get_device_capability": (9, 0), "max_memory_allocated": 0}
    answers |= {"memory_allocated": 0, "max_memory_reserved": 0}
    answers["get_device_properties"] = SimpleNamespace(
        multi_processor_count=132, total_memory=80 * 10**9, name="stub", major=9, minor=0
    )
    for name, value in answers.items():
        setattr(torch.cuda, name, _answering(value))
    torch.set_num_threads(1)


class _Autocast(nullcontext):  # type: ignore[type-arg]
    """torch.autocast that casts nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, function: Any) -> Any:
        return function

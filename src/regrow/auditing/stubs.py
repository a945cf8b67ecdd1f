"""The child's side of the smoke test: import a training script on a CPU, build its model, take one step.

What a GPU machine has and this one lacks is stubbed: missing packages import as hollow modules, attention
kernels become torch's own attention, `torch.compile` and `torch.cuda` become no-ops, devices named cuda mean
the CPU. What a script computes in a kernel of its own (Triton, CUDA) cannot run here, and is reported as
such.
"""

from __future__ import annotations

import ast
import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from regrow.auditing.wire import send

#: The main guard must not run, so the script is imported under this name.
MODULE = "audited_script"
_CONFIG_NAMES = ("Hyperparameters", "HParams", "Config", "Args", "GPTConfig", "ModelConfig", "TrainConfig")
_MODEL_NAMES = ("GPT", "Model", "Transformer", "LM", "Net", "Mamba", "Hybrid")


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

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if "flash_attn" in self.__name__ or "flash_attn" in name:
            return varlen_attention if "varlen" in name else dense_attention
        return Hollow(f"{self.__name__}.{name}")


class HollowFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nobody else found, and remembers it."""

    def __init__(self) -> None:
        self.hollow: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A hollow module for a missing package that the script, not an installed library, asks for."""
        top = fullname.partition(".")[0]
        if top not in self.hollow:
            caller = inspect.currentframe()
            while (
                (caller is not None
                and "importlib" in caller.f_code.co_filename)
                or caller is inspect.currentframe()
            ):
                caller = caller.f_back if caller else None
            asked_by = caller.f_globals.get("__name__", "") if caller else ""
            if asked_by.partition(".")[0] in (
                "torch",
                "numpy",
                "sympy",
                "numba",
                "scipy",
                "networkx",
                "regrow",
            ):
                return None
            self.hollow.append(top)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The hollow module."""
        return HollowModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def dense_attention(q: Any, k: Any, v: Any, *args: Any, causal: bool = False, **kwargs: Any) -> Any:
    """What flash_attn_func computes: q_BTHD, k_BTHD, v_BTHD, grouped heads allowed, to out_BTHD."""
    from torch.nn import functional

    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        is_causal=causal,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return out.transpose(1, 2)


def varlen_attention(q: Any, k: Any, v: Any, *args: Any, causal: bool = False, **kwargs: Any) -> Any:
    """What flash_attn_varlen_func computes, with the packed sequences taken as one: shapes are right, masks are not."""
    return dense_attention(q[None], k[None], v[None], causal=causal)[0]


def stub_torch() -> None:
    """Make torch on a CPU answer like torch on a GPU, as far as a model's construction and one step need."""
    import torch

    def cpu(value: Any) -> Any:
        named = isinstance(value, str | torch.device) and str(value).startswith("cuda")
        return torch.device("cpu") if named else value

    def mapped(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if "device" in kwargs:
                kwargs["device"] = cpu(kwargs["device"])
            kwargs.pop("pin_memory", None)
            return function(*[cpu(a) for a in args], **kwargs)

        return call

    for name in ("arange", "zeros", "ones", "empty", "full", "tensor", "randn", "rand", "randint", "linspace", "eye",
                 "as_tensor", "randperm", "tril", "triu"):  # fmt: skip
        setattr(torch, name, mapped(getattr(torch, name)))
    for owner in (torch.Tensor, torch.nn.Module):
        owner.to = mapped(owner.to)
        owner.cuda = lambda self, *a, **k: self
    torch.Tensor.pin_memory = lambda self, *a, **k: self

    def compiled(model: Any = None, *args: Any, **kwargs: Any) -> Any:
        return model if model is not None else (lambda inner: inner)

    torch.compile = compiled
    torch.autocast = _Autocast
    nothing: dict[str, Any] = {"is_available": True, "device_count": 1, "current_device": 0, "get_device_name": "stub",
               "get_device_capability": (9, 0), "max_memory_allocated": 0, "memory_allocated": 0,
               "is_bf16_supported": True, "max_memory_reserved": 0}  # fmt: skip
    nothing["get_device_properties"] = SimpleNamespace(
        multi_processor_count=132, total_memory=80 * 10**9, name="stub", major=9, minor=0
    )
    for name in ("set_device", "synchronize", "manual_seed", "manual_seed_all", "empty_cache", "set_per_process_memory_fraction",
                 "reset_peak_memory_stats", *nothing):  # fmt: skip
        setattr(torch.cuda, name, lambda *a, _value=nothing.get(name), **k: _value)
    torch.set_num_threads(1)


class _Autocast(nullcontext):  # type: ignore[type-arg]
    """torch.autocast that casts nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, function: Any) -> Any:
        return function


def smoke_child(path: str, answers: int) -> None:
    """Import, build, step; send what was learnt after each stage, so that a killed process still told where it stood."""
    import torch

    stub_torch()
    finder = HollowFinder()
    sys.meta_path.append(finder)
    script = Path(path)
    sys.path.insert(0, str(script.parent))
    sys.argv = [path]
    sources: list[str] = [script.read_text(encoding="utf-8", errors="replace")]
    report: dict[str, Any] = {"stage": "import"}
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = module
    space = module.__dict__
    space["exec"] = _recording_exec(sources)
    began = time.perf_counter()
    try:
        builtins.exec(compile(sources[0], path, "exec"), space)
    except BaseException as error:
        report.update(failing(error, path))
    report["import_seconds"] = round(time.perf_counter() - began, 3)
    report["stubbed"] = sorted(finder.hollow)
    send(answers, {"report": report})
    imported = "error" not in report
    try:
        model, config = build(space, sources)
        report.update(stage="build", **describe(model, config))
        send(answers, {"report": report})
        report["stage"] = "step"
        report["loss"] = step(torch, model, config, int(report["vocabulary"]))
        report["stage"] = "done" if imported else "import"
    except BaseException as error:
        if imported or report["stage"] != "import":  # else the import's own error says why there is no model
            report.update(
                failing(error, path), stage="build" if report["stage"] == "import" else report["stage"]
            )
    send(answers, {"report": report, "last": True})


def _recording_exec(sources: list[str]) -> Any:
    """`exec` that keeps the text it was given: the source that a wrapped script unpacks."""

    def record(code: Any, space: Any = None, local: Any = None, **kwargs: Any) -> None:
        if isinstance(code, bytes | str):
            sources.append(code if isinstance(code, str) else code.decode("utf-8", errors="replace"))
        frame = sys._getframe(1)
        space = frame.f_globals if space is None else space
        builtins.exec(code, space, local if local is not None else space)

    return record


def failing(error: BaseException, path: str) -> dict[str, Any]:
    """The line of the script at which it failed, and why."""
    where = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == path or frame.filename.startswith("<"):
            where = frame
    said = f"{type(error).__name__}: {str(error)[:400]}"
    if isinstance(error, SyntaxError) and error.lineno:
        if "f-string" in said and sys.version_info < (3, 12):
            said += " (quotes nested in f-strings need Python 3.12; audit with that version to smoke-test this script)"
        return {"error": said, "line": error.lineno, "text": (error.text or "").strip()[:200]}
    if where is None:
        return {"error": said, "line": None, "text": ""}
    return {
        "error": said,
        "line": where.lineno,
        "text": (where.line or "").strip()[:200],
        "gpu": isinstance(error, GpuOnly),
    }


def find_config(space: dict[str, Any]) -> Any:
    """The script's hyperparameters, instantiated where they can be; an empty object where there are none."""
    ours = {k: v for k, v in space.items() if inspect.isclass(v) and getattr(v, "__module__", "") == MODULE}
    named = [ours[n] for n in _CONFIG_NAMES if n in ours]
    named += [
        v for k, v in ours.items() if v not in named and ("config" in k.lower() or "param" in k.lower())
    ]
    for cls in named:
        try:
            return cls()
        except Exception:
            return cls
    return type("Empty", (), {})()


def find_model(torch: Any, space: dict[str, Any]) -> type:
    """The class that is the language model: named like one, taking a vocabulary or a config, the longest at
    that.

    Raises:
        LookupError: there is no such class.
    """
    best: tuple[int, int, type] | None = None
    for name, cls in space.items():
        if not (inspect.isclass(cls) and issubclass(cls, torch.nn.Module) and cls.__module__ == MODULE):
            continue
        wanted = list(inspect.signature(cls.__init__).parameters)
        rank = 4 * (name == "GPT") + 2 * any(m.lower() in name.lower() for m in _MODEL_NAMES)
        rank += 3 * ("vocab_size" in wanted) + 2 * any(
            w in ("h", "args", "config", "cfg", "hp", "hparams") for w in wanted
        )
        if "forward" not in cls.__dict__ or any(
            w in name for w in ("Block", "Attention", "MLP", "Embedding", "Linear")
        ):
            rank -= 6
        size = len(cls.__init__.__code__.co_code) if hasattr(cls.__init__, "__code__") else 0
        if best is None or (rank, size) > best[:2]:
            best = (rank, size, cls)
    if best is None or best[0] < 0:
        raise LookupError("the script defines no torch module that looks like a language model")
    return best[2]


class _Names(dict):  # type: ignore[type-arg]
    """The script's names; unknown ones mean its hyperparameters, `device` the CPU."""

    def __init__(self, space: dict[str, Any], config: Any) -> None:
        super().__init__(space)
        self.config = config

    def __missing__(self, name: str) -> Any:
        if name == "device":
            return "cpu"
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return self.config


def build(space: dict[str, Any], sources: list[str]) -> tuple[Any, Any]:
    """The model as the script's own call builds it; failing that, from hyperparameters of the same names.

    Raises:
        LookupError: no model class, or no value for an argument it needs.
    """
    import torch

    config = find_config(space)
    cls = find_model(torch, space)
    names = _Names(space, config)
    for source in reversed(sources):
        for call in calls_of(source, cls.__name__):
            try:
                args = [eval(compile(ast.Expression(a), "<call>", "eval"), space, names) for a in call.args]
                kwargs = {
                    k.arg: eval(compile(ast.Expression(k.value), "<call>", "eval"), space, names)
                    for k in call.keywords
                    if k.arg
                }
                return cls(*args, **kwargs), config
            except (NameError, AttributeError, TypeError, KeyError):
                continue
    given: dict[str, Any] = {}
    for name, wanted in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        if hasattr(config, name):
            given[name] = getattr(config, name)
        elif name in ("h", "args", "config", "cfg", "hp", "hparams"):
            given[name] = config
        elif wanted.default is inspect.Parameter.empty and wanted.kind is wanted.POSITIONAL_OR_KEYWORD:
            raise LookupError(
                f"{cls.__name__} needs `{name}`, which the script's hyperparameters do not give"
            )
    return cls(**given), config


def calls_of(source: str, name: str) -> list[ast.Call]:
    """Calls of a name in a source text; none where it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == name
    ]


def describe(model: Any, config: Any) -> dict[str, Any]:
    """Width, layers, vocabulary and parameters of a model, by its config's names and by its modules."""
    import torch

    def named(*names: str) -> int | None:
        return next((int(v) for n in names if isinstance(v := getattr(config, n, None), int) and v > 0), None)

    tables = [m for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    table = tables[0].weight if tables else next((p for p in model.parameters() if p.dim() == 2), None)
    lists = [len(m) for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return {
        "width": named("model_dim", "dim", "n_embd", "d_model", "hidden_size")
        or (table.shape[1] if table is not None else None),
        "layers": named("num_layers", "n_layer", "n_layers", "layers", "depth") or max(lists, default=None),
        "vocabulary": named("vocab_size") or (int(table.shape[0]) if table is not None else 1024),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def step(torch: Any, model: Any, config: Any, vocabulary: int) -> float:
    """One step of gradient descent on random tokens; the loss in nats per token before it.

    Raises:
        GpuOnly: the model reached a kernel that is not here. Exception: whatever the model raised at the last
            length tried.
    """
    lengths = [64, 256]
    full = getattr(config, "train_seq_len", None)
    if isinstance(full, int) and 256 < full <= 2048:
        lengths.append(full)
    tries = [(length, half) for half in (False, True) for length in lengths]
    for attempt, (length, half) in enumerate(tries):
        torch.manual_seed(0)
        if half:
            model.bfloat16()
        tokens = torch.randint(0, vocabulary, (1, length + 1))
        try:
            out = model(tokens[:, :-1], tokens[:, 1:]) if takes_targets(model) else model(tokens[:, :-1])
            out = next((o for o in out if hasattr(o, "dim")), out) if isinstance(out, tuple | list) else out
            if out.dim() >= 2 and out.shape[-1] >= vocabulary:
                logits = out.reshape(-1, out.shape[-1]).float()
                out = torch.nn.functional.cross_entropy(logits, tokens[0, 1:])
            loss = out.float().mean()
            loss.backward()
            with torch.no_grad():
                for p in model.parameters():
                    if p.grad is not None:
                        p.add_(p.grad.to(p.dtype), alpha=-1e-3)
            return float(loss)
        except GpuOnly:
            raise
        except Exception:
            if attempt == len(tries) - 1:
                raise
    raise RuntimeError("no step was taken")


def takes_targets(model: Any) -> bool:
    """Whether `forward` takes the targets as its second argument."""
    names = list(inspect.signature(model.forward).parameters)
    return len(names) > 1 and any(w in names[1].lower() for w in ("target", "label", "y"))

"""The child's side of the smoke test: import a training script on a CPU, build its model, take one step."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from regrow.challenge.audit.sandbox.stubs import GpuOnly, HollowFinder, stub_torch
from regrow.challenge.audit.sandbox.wire import send
from regrow.challenge.audit.source.text import decode

#: The main guard must not run, so the script is imported under this name.
MODULE = "audited_script"
_CONFIG_NAMES = ("Hyperparameters", "HParams", "Config", "Args", "GPTConfig", "ModelConfig", "TrainConfig")
_MODEL_NAMES = ("GPT", "Model", "Transformer", "LM", "Net", "Mamba", "Hybrid")
_PART_NAMES = ("Block", "Attention", "MLP", "Embedding", "Linear")
_HOLDERS = ("h", "args", "config", "cfg", "hp", "hparams")


def smoke_child(path: str, answers: int) -> None:
    """Import, build, step; tell what was learnt after each: a killed process has said where it stood."""
    import torch

    stub_torch()
    script = Path(path)
    finder = HollowFinder(str(script.parent))
    sys.meta_path.append(finder)
    sys.path.insert(0, str(script.parent))
    sys.argv = [path]
    sources = [decode(script.read_bytes(), python=True)[0]]
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
            stage = "build" if report["stage"] == "import" else report["stage"]
            report.update(failing(error, path), stage=stage)
    send(answers, {"report": report, "last": True})


def _recording_exec(sources: list[str]) -> Any:
    """`exec` that keeps the text it was given: the source that a wrapped script unpacks."""

    def record(code: Any, space: Any = None, local: Any = None, **kwargs: Any) -> None:
        if isinstance(code, bytes | str):
            sources.append(code if isinstance(code, str) else decode(code, python=True)[0])
        space = sys._getframe(1).f_globals if space is None else space
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
            said += (
                " (quotes nested in f-strings need Python 3.12: audit with that version to smoke-test this)"
            )
        return {"error": said, "line": error.lineno, "text": (error.text or "").strip()[:200]}
    if where is None:
        return {"error": said, "line": None, "text": ""}
    gpu = isinstance(error, GpuOnly) or "Hollow" in said
    return {"error": said, "line": where.lineno, "text": (where.line or "").strip()[:200], "gpu": gpu}


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
    """The class that is the language model: named like one, with a vocabulary or a config, the longest.

    Raises:
        LookupError: there is no such class.
    """
    best: tuple[int, int, type] | None = None
    for name, cls in space.items():
        if not (inspect.isclass(cls) and issubclass(cls, torch.nn.Module) and cls.__module__ == MODULE):
            continue
        made_by: Any = cls.__init__
        wanted = list(inspect.signature(made_by).parameters)
        rank = 4 * (name == "GPT") + 2 * any(m.lower() in name.lower() for m in _MODEL_NAMES)
        rank += 3 * ("vocab_size" in wanted) + 2 * any(w in _HOLDERS for w in wanted)
        if "forward" not in cls.__dict__ or any(w in name for w in _PART_NAMES):
            rank -= 6
        size = len(made_by.__code__.co_code) if hasattr(made_by, "__code__") else 0
        if best is None or (rank, size) > best[:2]:
            best = (rank, size, cls)
    if best is None or best[0] < 0:
        raise LookupError("the script defines no torch module that looks like a language model")
    return best[2]


class _Names(dict[str, Any]):
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

    Args:
        space: the imported script's names.
        sources: its source, and what it unpacked.

    Returns:
        The model and the hyperparameters.

    Raises:
        LookupError: no model class, or no value for an argument it needs.
    """
    import torch

    config = find_config(space)
    cls: Any = find_model(torch, space)
    names = _Names(space, config)

    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "<call>", "eval"), space, names)

    for source in reversed(sources):
        for call in calls_of(source, cls.__name__):
            try:
                given = {k.arg: value(k.value) for k in call.keywords if k.arg}
                return cls(*[value(a) for a in call.args], **given), config
            except (NameError, AttributeError, TypeError, KeyError):
                continue
    given = {}
    for name, wanted in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        if hasattr(config, name):
            given[name] = getattr(config, name)
        elif name in _HOLDERS:
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
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def describe(model: Any, config: Any) -> dict[str, Any]:
    """Width, layers, vocabulary and parameters of a model, by its config's names and by its modules."""
    import torch

    def named(*names: str) -> int | None:
        return next((int(v) for n in names if isinstance(v := getattr(config, n, None), int) and v > 0), None)

    tables = [m for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    table = tables[0].weight if tables else next((p for p in model.parameters() if p.dim() == 2), None)
    rows, columns = (int(table.shape[0]), int(table.shape[1])) if table is not None else (1024, None)
    lists = [len(m) for m in model.modules() if isinstance(m, torch.nn.ModuleList)]
    return {
        "width": named("model_dim", "dim", "n_embd", "d_model", "hidden_size") or columns,
        "layers": named("num_layers", "n_layer", "n_layers", "layers", "depth") or max(lists, default=None),
        "vocabulary": named("vocab_size") or rows,
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def step(torch: Any, model: Any, config: Any, vocabulary: int) -> float:
    """One step of gradient descent on random tokens; the loss in nats per token before it.

    Tried at a few lengths, in float32 and under bfloat16 autocast, as scripts differ in what they need.

    Raises:
        GpuOnly: the model reached a kernel that is not here. Exception: what the model raised at the last
            try.
    """
    lengths = [64, 256]
    full = getattr(config, "train_seq_len", None)
    if isinstance(full, int) and 256 < full <= 2048:
        lengths.append(full)
    tries = [(length, half) for half in (False, True) for length in lengths]
    for attempt, (length, half) in enumerate(tries):
        torch.manual_seed(0)
        tokens = torch.randint(0, vocabulary, (1, length + 1))
        try:
            with torch.amp.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext():
                out: Any = (
                    model(tokens[:, :-1], tokens[:, 1:]) if takes_targets(model) else model(tokens[:, :-1])
                )
            if isinstance(out, tuple | list):
                out = next(o for o in out if hasattr(o, "dim"))
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

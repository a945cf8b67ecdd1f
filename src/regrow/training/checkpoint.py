"""Checkpoints of a training run: one safetensors file each, the last two kept, nothing pickled.

A step waits for a copy of the state only; the file is made by a thread, and appears whole or not at all. It carries a
SHA-256 of all it holds, so damage that keeps the file readable is found too, and the one before takes its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from torch import Tensor

from regrow.core.config.schema import Config
from regrow.core.errors import ConfigError, DataError, EnvironmentProblem
from regrow.core.files import atomic_write_bytes, atomic_write_text, remove_leftovers

_KEPT = 2
_STALL = 0.05  # max share of the time between two checkpoints that a step may wait for them
_SEPARATOR = "/"
_PATTERN = "step-*.safetensors"
# What a run may change when it goes on: what it tells, and how it is packed.
_FREE_KEYS = {
    "train.log_every", "train.checkpoint_seconds", "pack.budget_bytes", "pack.load_seconds", "pack.keep",
}  # fmt: skip


class Checkpoints:
    """The folder of a run's checkpoints, written in the background.

    `interval`: seconds of training between two (0: none is due); more where copying would otherwise take over a
    twentieth of the time, or the last is not written yet. `after`: the step the run goes on from (0: it starts
    anew). Checkpoints beyond it are of another run, or damaged; they are deleted once the first of this run is safe.
    `writes`: whether this is the process that writes.
    """

    def __init__(
        self, folder: Path, interval: float, after: int, writes: bool, log: Callable[[str], None]
    ) -> None:
        self.folder, self._interval, self._log = folder, interval, log
        self._stall = 0.0  # seconds the last `save` took
        self._foreign = [path for path in _files(folder) if _step_of(path) > after]
        self._thread: threading.Thread | None = None
        self._problem: EnvironmentProblem | None = None
        if writes:
            remove_leftovers(folder, _PATTERN)
        if self._foreign and after == 0:
            log(
                f"{folder}: holds step {_step_of(self._foreign[-1])} of an earlier run, which the first checkpoint of "
                "this one replaces; to go on from it, stop and start with --resume"
            )

    def due(self, since: float) -> bool:
        """Whether it is time for one, `since` seconds of training after the last."""
        writing = self._thread is not None and self._thread.is_alive()
        return 0 < self._interval < since and since > self._stall / _STALL and not writing

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Copy `state` now and write it soon. A write that fails is logged, and the one before stays."""
        started = time.perf_counter()
        self.finish()
        copied = _copied(state)
        self._thread = threading.Thread(target=self._write, args=(step, copied), name="checkpoint")
        self._thread.start()
        self._stall = time.perf_counter() - started

    def save_now(self, step: int, state: dict[str, Any]) -> Path:
        """Write `state` before returning. Raises EnvironmentProblem if it cannot be written."""
        self.finish()
        return self._kept(step, state)

    def finish(self) -> None:
        """Wait until what was begun is written, or was found impossible to write."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._problem is not None:
            self._log(f"no checkpoint was kept this time: {self._problem}; training goes on")
            self._problem = None

    def _write(self, step: int, state: dict[str, Any]) -> None:
        try:
            self._kept(step, state)
        except EnvironmentProblem as problem:
            self._problem = problem

    def _kept(self, step: int, state: dict[str, Any]) -> Path:
        path = save_checkpoint(self.folder, step, state, self._foreign)
        self._foreign = []
        return path


def save_checkpoint(
    folder: Path, step: int, state: dict[str, Any], foreign: list[Path] | None = None
) -> Path:
    """Write `state` (nested dicts and lists of tensors, numbers and strings) as `folder/step-N.safetensors`.

    Tensors become the file's tensors, everything else one metadata key. The file appears whole or not at all; then
    older ones but one go, and `foreign` ones. Raises EnvironmentProblem if it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    rest = msgspec.json.encode(_split(state, "", tensors)).decode()
    tensors = {name: t.contiguous() for name, t in tensors.items()}
    metadata = {"state": rest, "sha256": _digest(rest, tensors)}
    path = folder / f"step-{step:08d}.safetensors"
    atomic_write_bytes(path, safetensors.torch.save(tensors, metadata))
    own = [old for old in _files(folder) if old not in (foreign or ())]
    for old in {*own[:-_KEPT], *(foreign or ())} - {path}:
        with contextlib.suppress(OSError):  # one file too many does no harm
            old.unlink()
    return path


def load_checkpoint(folder: Path, log: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The newest checkpoint in `folder` that is whole; `log` gets a line for each newer one that is damaged.

    Raises DataError if there is none.
    """
    found = _files(folder)
    if not found:
        raise DataError(f"{folder}: holds no checkpoint; train without --resume.")
    reasons = []
    for path in reversed(found):
        try:
            state = _read(path)
        except DataError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            if log is not None:
                log(f"{reason}; going on from {path.name}, the one before")
        return state
    raise DataError(f"{'; '.join(reasons)}; there is no other, so train without --resume.")


def has_checkpoint(folder: Path) -> bool:
    """Whether there is anything to go on from."""
    return bool(_files(folder))


def check_config(saved: str, config: Config, folder: Path) -> None:
    """Raise ConfigError naming the keys in which the saved config (TOML) and `config` differ, if any."""
    before, now = _flat(tomllib.loads(saved)), _flat(msgspec.to_builtins(config))
    differing = [
        f"{key} ({before.get(key)} there, {now.get(key)} here)"
        for key in sorted({*before, *now} - _FREE_KEYS)
        if before.get(key) != now.get(key)
    ]
    if differing:
        raise ConfigError(
            f"{folder}: was made with another config, which differs in {', '.join(differing)}; resume with "
            f"{folder.parent}/config.toml, or train into another folder."
        )


def cut_log(path: Path, step: int) -> None:
    """Keep the whole lines of a run's log up to `step`: what a killed run wrote beyond its checkpoint comes again.

    A process that is killed while it writes leaves half a line at the end.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
            if msgspec.json.decode(line)["step"] <= step:
                kept.append(line + "\n")
    atomic_write_text(path, "".join(kept))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(_PATTERN) if path.stem.removeprefix("step-").isdecimal())


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _read(path: Path) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        rest = metadata["state"]
        intact = metadata["sha256"] == _digest(rest, tensors)
        state = _join(msgspec.json.decode(rest), tensors) if intact else None
    except (safetensors.SafetensorError, msgspec.DecodeError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(state, dict):
        raise DataError(f"{path}: is damaged (its checksum does not fit)")
    return state


def _digest(rest: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(rest.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _copied(value: Any) -> Any:
    """The same nesting with copies of the tensors, in main memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(v) for v in value]
    return value


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu()
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[k, _split(v, f"{path}{_SEPARATOR}{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{path}{_SEPARATOR}{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value}


def _join(node: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "dict" in node:
        return {k: _join(v, tensors) for k, v in node["dict"]}
    if "list" in node:
        return [_join(v, tensors) for v in node["list"]]
    return node["value"]


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat

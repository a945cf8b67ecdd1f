"""Everything that a run's folder says about the run."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.artifact.container import read_artifact
from regrow.core.errors import ArtifactError, DataError
from regrow.core.results import Result
from regrow.core.run_folder import ARTIFACT, CONFIG, LOG, RESULT, run_ids
from regrow.report.curve import Curve, load_curve
from regrow.report.excerpt import Excerpt, file_sha256, load_excerpt


@dataclass(frozen=True)
class Identity:
    """What names an artifact for good: SHA-256 of the file, its payloads, bases and memory counts."""

    sha256: str
    payloads: dict[str, str]
    bases: dict[str, str]
    counts_sha256: str


@dataclass(frozen=True)
class RunFiles:
    """One run. What its folder lacks is None; `notes` says in sentences what in it could not be used."""

    name: str
    folder: Path
    result: Result
    config: dict[str, Any] | None
    curve: Curve | None
    excerpt: Excerpt | None
    identity: Identity | None
    notes: list[str]


def load_runs(folders: Sequence[Path]) -> list[RunFiles]:
    """The runs in the order given, each under the shortest name that tells it from the others.

    Raises DataError if there is no folder, or one without a result.json of this schema.
    """
    if not folders:
        raise DataError("report: no run was named; give the folder of at least one.")
    names = _names([Path(folder) for folder in folders])
    return [_load(Path(folder), name) for folder, name in zip(folders, names, strict=True)]


def _load(folder: Path, name: str) -> RunFiles:
    path = folder / RESULT
    if not path.is_file():
        what = "has no result.json" if folder.is_dir() else "is no folder"
        raise DataError(f"{folder}: {what}; name the folder of a run made by regrow train or regrow demo.")
    result = Result.load(path)
    notes: list[str] = []
    curve = load_curve(folder / LOG)
    if curve is not None and curve.unreadable:
        notes.append(f"log.jsonl: {curve.unreadable} of its lines could not be read and are left out.")
    config = _config(folder / CONFIG, notes)
    for other, run in run_ids(folder).items():
        if result.run and run != result.run:
            notes.append(f"{other}: is of another run than result.json and is left out; train again.")
            config, curve = (None if other == CONFIG else config), (None if other == LOG else curve)
    return RunFiles(
        name,
        folder,
        result,
        config,
        curve,
        _excerpt(folder, notes),
        _identity(folder / ARTIFACT, notes),
        notes,
    )


def _config(path: Path, notes: list[str]) -> dict[str, Any] | None:
    # Shown, not used: a config of another version, with keys that are not known here, is still the run's.
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        notes.append(f"config.toml: could not be read ({error}).")
        return None


def _excerpt(folder: Path, notes: list[str]) -> Excerpt | None:
    try:
        excerpt = load_excerpt(folder)
    except DataError as error:
        notes.append(str(error))
        return None
    if excerpt is not None and excerpt.artifact_sha256 != file_sha256(folder / ARTIFACT):
        notes.append(
            f"{folder / 'excerpt.json'}: was scored with another artifact than the one that lies there now "
            "and is left out; run regrow eval again."
        )
        return None
    return excerpt


def _identity(path: Path, notes: list[str]) -> Identity | None:
    if not path.is_file():
        return None
    try:
        file = read_artifact(path)
    except ArtifactError as error:
        notes.append(str(error))
        return None
    digests, bases = file.manifest["sha256"], file.manifest.get("bases")
    return Identity(
        sha256=file.sha256,
        payloads={name: str(digests[name]) for name in sorted(file.payloads)},
        bases={name: str(digest) for name, digest in bases.items()} if isinstance(bases, dict) else {},
        counts_sha256=str(file.manifest.get("counts_sha256", "")),
    )


def _names(folders: list[Path]) -> list[str]:
    parts = [folder.resolve().parts for folder in folders]
    longest = max(len(p) for p in parts)
    for depth in range(1, longest + 1):
        names = ["/".join(p[-depth:]).replace("//", "/") for p in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names

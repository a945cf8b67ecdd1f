"""The challenge's FineWeb shards from its hub, or from a folder with the hub's layout.

On the hub `willdepueoai/parameter-golf` (a dataset) a variant `spN` is a folder of shards,
`datasets/datasets/fineweb10B_spN/`, and a tokenizer, `datasets/tokenizers/fineweb_N_bpe.model`. Downloads go into
huggingface-hub's own cache, which goes on with half a file; sizes and SHA-256 are checked against what the hub says.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from regrow.core.errors import DataError, EnvironmentProblem
from regrow.core.progress import Progress
from regrow.data.shards.format import NAME

REPOSITORY = "willdepueoai/parameter-golf"
ROOT = "datasets"
TRAIN_SHARDS = 80  # what the challenge's own script fetches: 8 billion tokens
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class RemoteFile:
    """A file by its path in the repository; `sha256` is None where nothing is known of it."""

    path: str
    size: int
    sha256: str | None


class Hub(Protocol):
    """Where files come from."""

    def files(self, folder: str) -> list[RemoteFile]:
        """The files directly in `folder`; none where there is no such folder."""

    def fetch(self, file: RemoteFile, *, again: bool = False) -> Path:
        """The file on this machine; `again`: not a copy that is here already."""


class Mirror:
    """A local folder with the hub's layout. A file SHA256SUMS at its top, as sha256sum writes it, is checked."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError if there is no such folder."""
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give one with the hub's layout to --mirror.")
        self._folder = folder
        listed = folder / CHECKSUMS
        lines = listed.read_text(encoding="utf-8-sig").splitlines() if listed.exists() else []
        pairs = (line.split(maxsplit=1) for line in lines if line.strip())
        self._sums = {name.lstrip("*").removeprefix("./"): digest for digest, name in pairs}

    def files(self, folder: str) -> list[RemoteFile]:
        """See `Hub.files`."""
        found = sorted(path for path in (self._folder / folder).glob("*") if path.is_file())
        names = [f"{folder}/{path.name}" for path in found]
        return [
            RemoteFile(name, path.stat().st_size, self._sums.get(name))
            for name, path in zip(names, found, strict=True)
        ]

    def fetch(self, file: RemoteFile, *, again: bool = False) -> Path:
        """See `Hub.fetch`."""
        return self._folder / file.path


class HuggingFace:
    """The hub itself."""

    def __init__(self) -> None:
        """Raises EnvironmentProblem without huggingface-hub."""
        try:
            import huggingface_hub
        except ImportError as error:
            raise EnvironmentProblem(
                "fineweb: fetching needs huggingface-hub; pip install huggingface-hub, or give a copy with --mirror."
            ) from error
        self._library: Any = huggingface_hub

    def files(self, folder: str) -> list[RemoteFile]:
        """See `Hub.files`."""
        try:
            entries = list(self._library.HfApi().list_repo_tree(REPOSITORY, folder, repo_type="dataset"))
        except Exception as error:  # the library's errors are of many families, and so are the network's
            raise _unreachable(folder, error) from error
        sizes = [entry for entry in entries if getattr(entry, "size", None) is not None]
        return [RemoteFile(e.path, e.size, getattr(e.lfs, "sha256", None)) for e in sizes]

    def fetch(self, file: RemoteFile, *, again: bool = False) -> Path:
        """See `Hub.fetch`."""
        try:
            found = self._library.hf_hub_download(
                REPOSITORY, file.path, repo_type="dataset", force_download=again
            )
        except Exception as error:  # as above
            raise _unreachable(file.path, error) from error
        return Path(found)


def fetch_fineweb(variant: str, train_shards: int, hub: Hub, progress: Progress) -> tuple[list[Path], Path]:
    """All validation shards and the first `train_shards` training shards of `variant`, and their tokenizer's model.

    Raises DataError for a variant the hub does not have and for a file that is not what the hub says of it,
    EnvironmentProblem when the hub cannot be reached.
    """
    if not re.fullmatch(r"sp\d+", variant):
        raise DataError(
            f"--variant {variant}: regrow reads SentencePiece variants, which are named sp1024 and the like."
        )
    folder = f"{ROOT}/datasets/fineweb10B_{variant}"
    listed = {part: [f for f in hub.files(folder) if _part(f) == part] for part in ("train", "val")}
    if not listed["val"] or not listed["train"]:
        raise DataError(
            f"--variant {variant}: there are no shards in {folder} of {REPOSITORY}; choose another variant, such as "
            "sp1024."
        )
    model = f"{ROOT}/tokenizers/fineweb_{variant.removeprefix('sp')}_bpe.model"
    tokenizers = [file for file in hub.files(f"{ROOT}/tokenizers") if file.path == model]
    if not tokenizers:
        raise DataError(f"--variant {variant}: there is no {model} in {REPOSITORY}; choose another variant.")
    wanted = [*listed["val"], *sorted(listed["train"], key=lambda f: f.path)[:train_shards]]
    places: list[Path] = []
    with progress.task("fetching", sum(file.size for file in [*wanted, *tokenizers]), "B") as task:
        for file in [*tokenizers, *wanted]:
            places.append(_verified(file, hub, progress))
            task.advance(file.size)
    return places[1:], places[0]


def _part(file: RemoteFile) -> str:
    found = NAME.match(Path(file.path).name)
    return found["part"] if found else ""


def _verified(file: RemoteFile, hub: Hub, progress: Progress) -> Path:
    for again in (False, True):
        path = hub.fetch(file, again=again)
        fault = _fault(path, file)
        if not fault:
            return path
        if not again:
            progress.log(f"{path}: {fault}; fetching it again")
    raise DataError(f"{path}: {fault}, fetched twice; delete it and try again later.")


def _fault(path: Path, file: RemoteFile) -> str:
    size = path.stat().st_size
    if size != file.size:
        return f"has {size:,} bytes, the hub says {file.size:,}"
    if file.sha256 is None:
        return ""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if digest == file.sha256 else f"has the SHA-256 {digest[:16]}..., not {file.sha256[:16]}..."


def _unreachable(what: str, error: Exception) -> EnvironmentProblem:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return EnvironmentProblem(
        f"{what} of {REPOSITORY}: cannot be fetched ({reason}); on a machine that reaches the hub download the "
        f"dataset's {ROOT}/datasets/fineweb10B_VARIANT and {ROOT}/tokenizers into a folder, keep their paths, and run "
        "regrow data fineweb --mirror FOLDER."
    )
